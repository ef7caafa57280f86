#include "press/flat_names.h"

#include <array>

namespace kvpress {

std::span<const FlatName> flat_names() {
  static constexpr auto kAll = std::to_array<FlatName>({
      {"expected_attention", "adakv(expected_attention(epsilon=0.01))", true},
      {"adakv_snapkv", "adakv(snapkv)"},
      {"block_keydiff", "block(keydiff)"},
      {"critical_adakv_expected_attention", "critical_adakv(expected_attention(use_vnorm=false))"},
      {"critical_adakv_snapkv", "critical_adakv(snapkv)"},
      {"critical_expected_attention", "critical(expected_attention(use_vnorm=false))"},
      {"critical_snapkv", "critical(snapkv)"},
      {"duo_attention_on_the_fly", "duo_attention(on_the_fly=true)"},
      {"kvzap_linear", "dms(kvzap(model_type=linear))"},
      {"kvzap_mlp", "dms(kvzap(model_type=mlp))"},
      {"kvzap_mlp_head", "kvzap(model_type=mlp)"},
      {"kvzap_mlp_layer", "adakv(kvzap(model_type=mlp))"},
      {"snap_think", "composed(snapkv, think)"},
      {"adakv_compactor", "adakv(compactor)"},
      {"cam_streaming_llm", "decoding(cam(streaming_llm))"},
      {"cam_knorm", "decoding(cam(knorm))"},
      // AdaKV's sharing among heads has no part in it: CaM keeps the same tokens in all heads (and kvpress ends in an
      // error).
      {"cam_adakv_snapkv", "decoding(cam(snapkv))"},
      {"cam_tova", "decoding(cam(tova))"},
      {"decoding_knorm", "decoding(knorm)"},
      {"decoding_streaming_llm", "decoding(streaming_llm)"},
      {"decoding_tova", "decoding(tova)"},
      {"decoding_qfilter", "decoding(qfilter)"},
      {"decoding_adakv_expected_attention_e2", "decoding(adakv(expected_attention(epsilon=0.01)))"},
      {"decoding_adakv_snapkv", "decoding(adakv(snapkv))"},
      {"decoding_keydiff", "decoding(keydiff)"},
      {"merging_knorm", "merging(knorm)"},
      {"merging_snapkv", "merging(snapkv)"},
      {"merging_expected_attention", "merging(expected_attention(epsilon=0.01))"},
      {"merging_kvzap_mlp", "merging(kvzap(model_type=mlp))"},
  });
  return kAll;
}

}  // namespace kvpress

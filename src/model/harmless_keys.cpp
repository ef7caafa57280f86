#include "model/harmless_keys.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <iterator>

namespace kvpress {
namespace {

constexpr std::string_view kNotes[] = {
    // Notes of who saved it.
    "architectures", "auto_map", "dtype", "model_type", "name_or_path", "torch_dtype", "transformers.js_config",
    "transformers_version", "unsloth_fixed", "unsloth_version", "is_llama_config", "tokenizer_class", "processor_class",
    // Tokens, which the tokenizer's files and generation say.
    "bos_token_id", "decoder_start_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "cls_token_id",
    "mask_token_id", "unk_token_id", "prefix",
    // Training, and how transformers runs it.
    "attention_dropout", "attn_implementation", "attn_pdrop", "chunk_size_feed_forward", "classifier_dropout",
    "dropout", "embd_pdrop", "experts_implementation", "gradient_checkpointing", "hidden_dropout",
    "hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range", "label_smoothing",
    "max_sequence_length", "output_attentions", "output_hidden_states", "pretraining_tp", "resid_pdrop", "return_dict",
    "tie_encoder_decoder", "torchscript", "use_cache", "use_bfloat16", "use_return_dict", "pruned_heads",
    "cross_attention_hidden_size", "output_router_logits", "router_aux_loss_coef", "router_jitter_noise",
    "cache_implementation",
    // Other tasks.
    "finetuning_task", "id2label", "label2id", "num_labels", "problem_type", "task_specific_params",
    // Generation.
    "assistant_confidence_threshold", "assistant_lookbehind", "bad_words_ids", "begin_suppress_tokens",
    "diversity_penalty", "do_sample", "early_stopping", "encoder_no_repeat_ngram_size", "encoder_repetition_penalty",
    "epsilon_cutoff", "eta_cutoff", "exponential_decay_length_penalty", "forced_bos_token_id", "forced_eos_token_id",
    "generation_config", "length_penalty", "max_length", "max_new_tokens", "min_length", "no_repeat_ngram_size",
    "num_assistant_tokens", "num_assistant_tokens_schedule", "num_beam_groups", "num_beams", "num_return_sequences",
    "output_scores", "remove_invalid_values", "repetition_penalty", "return_dict_in_generate", "suppress_tokens",
    "target_lookbehind", "temperature", "tf_legacy_loss", "top_k", "top_p", "typical_p"};

/// Known to be right where it is false.
constexpr std::string_view kFalse[] = {"add_cross_attention",        "is_encoder_decoder", "rope_interleaved",
                                       "use_sliding_window",         "use_qk_norm",        "qk_layernorm",
                                       "use_bidirectional_attention"};

template <typename List>
bool is_in(const List& list, std::string_view key) {
  return std::find(std::begin(list), std::end(list), key) != std::end(list);
}

}  // namespace

bool is_harmless_config_key(std::string_view key, const nlohmann::json& value) {
  if (value.is_null() || key.starts_with('_') || is_in(kNotes, key)) return true;
  if (key == "is_decoder") return value.is_boolean();  // a causal model is one either way
  return is_in(kFalse, key) && value == false;
}

}  // namespace kvpress

// kvpress inspect: what a model is made of, without loading its weights, or what a compressed context is of.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/context_options.h"
#include "kvpress/base/log.h"
#include "kvpress/base/memory.h"
#include "kvpress/engine/open_model.h"

namespace kvpress {
namespace {

void line(std::string_view name, const std::string& value) { fmt::print("{:<20} {}\n", name, value); }

std::string all_layers(const ModelConfig& config) {
  return config.n_layers == 1 ? "0" : fmt::format("0 to {}", config.n_layers - 1);
}

/// Layers that are alike, as "0 to 4, 6 to 10".
std::vector<std::pair<LayerSpec, std::string>> kinds_of_layers(const ModelConfig& config) {
  std::vector<std::pair<LayerSpec, std::string>> kinds;
  for (std::int64_t first = 0, end = 0; first < config.n_layers; first = end) {
    const LayerSpec& spec = config.layer(first);
    while (end < config.n_layers && config.layer(end) == spec) ++end;
    auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const auto& it) { return it.first == spec; });
    if (kind == kinds.end()) kind = kinds.insert(kinds.end(), {spec, ""});
    if (!kind->second.empty()) kind->second += ", ";
    kind->second += end - first == 1 ? fmt::format("{}", first) : fmt::format("{} to {}", first, end - 1);
  }
  return kinds;
}

std::string norm_text(const LayerSpec& spec) {
  const bool is_layer_norm = spec.norm == NormKind::layer_norm;
  std::string text = fmt::format("{}, epsilon {}", is_layer_norm ? "LayerNorm" : "RMSNorm", spec.norm_eps);
  if (spec.norm_place == NormPlace::after) text += ", after each part";
  if (spec.norm_place == NormPlace::both) text += ", before and after each part";
  if (spec.query_norm || spec.key_norm) {
    text += spec.norms_heads_together ? ", and of queries and keys" : ", and of each head's queries and keys";
  }
  return text;
}

void print_layer(const ModelConfig& config, const LayerSpec& spec) {
  line("rotary channels", fmt::format("{} of {}", spec.rope.rotary_dim(), config.head_dim));
  if (const QueryGrowth& growth = spec.query_growth; growth.beta > 0) {
    line("queries", fmt::format("times 1 + {} log(1 + floor(position / {}))", growth.beta, growth.context));
  }
  if (spec.window > 0) line("window", fmt::format("{} tokens", spec.window));
  if (spec.attention_soft_cap > 0) line("attention scores", fmt::format("soft cap of {}", spec.attention_soft_cap));
  if (spec.attention_sinks) line("attention sinks", "one a head");
  const std::string inner = fmt::format("{}{}", spec.intermediate_size, spec.gated ? ", gated" : "");
  const ExpertSpec& experts = config.experts;
  line("feed-forward", spec.feed_forward == FeedForwardKind::experts
                           ? fmt::format("{} of {} experts of {}", experts.n_used, experts.n, inner)
                           : inner);
  line("residual", spec.parallel ? "parallel" : "sequential");
  line("norm", norm_text(spec));
}

void print_summary(const OpenedModel& opened) {
  const ModelConfig& config = opened.config;
  std::map<std::string, std::int64_t> n_by_type;
  double bytes = 0;
  for (const TensorInfo& it : opened.files->tensors->tensors()) {
    ++n_by_type[it.type_name];
    bytes += static_cast<double>(it.data.size());
  }
  std::vector<std::string> types;
  for (const auto& [type, n] : n_by_type) types.push_back(fmt::format("{} {}", n, type));

  line("model", opened.files->name);
  line("path", opened.files->path.string());
  line("architecture", config.architecture);
  line("parameters", fmt::format("{:.1f} M", static_cast<double>(config.n_parameters()) / 1e6));
  line("layers", fmt::format("{}", config.n_layers));
  line("hidden size", fmt::format("{}", config.hidden_size));
  line("heads", fmt::format("{} of {} channels, {} KV heads (groups of {})", config.n_heads, config.head_dim,
                            config.n_kv_heads, config.group_size()));
  for (const auto& [spec, layers] : kinds_of_layers(config)) {
    if (layers != all_layers(config)) line("layers", layers + ":");
    print_layer(config, spec);
  }
  if (config.learned_positions > 0) line("positions", fmt::format("learned, {}", config.max_positions));
  if (config.logit_soft_cap > 0) line("logits", fmt::format("soft cap of {}", config.logit_soft_cap));
  line("vocabulary", fmt::format("{} rows, {} output", config.vocab_size, config.tied_output ? "tied" : "untied"));
  line("trained context", fmt::format("{} tokens", config.max_positions));
  line("tensors", fmt::format("{} ({}), {}", opened.files->tensors->tensors().size(), fmt::join(types, ", "),
                              format_bytes(bytes)));
  line("tokenizer", opened.has_tokenizer() ? opened.tokenizer().description() : "none");
  std::vector<std::string> weights;
  const auto held = [&](std::string_view name, DType compute, HeldWeights form) {
    const double held_bytes = held_weight_bytes(config, {compute, compute, form}, opened.files->tensors.get());
    weights.push_back(fmt::format("{} {}", name, format_bytes(held_bytes)));
  };
  held("float32", DType::f32, HeldWeights::as_float);
  held("bfloat16", DType::bf16, HeldWeights::as_float);
  held("int8", DType::f32, HeldWeights::as_int8);
  held("int4", DType::f32, HeldWeights::as_int4);
  if (has_quantized(*opened.files->tensors)) held("file", DType::f32, HeldWeights::as_file);
  line("weights in memory", fmt::format("{}", fmt::join(weights, ", ")));
  for (const DType type : {DType::bf16, DType::f32}) {
    const double at_first = cache_bytes_per_token(config, {type}, 0);
    const double at_last = cache_bytes_per_token(config, {type}, config.max_positions);
    const std::string then = at_last < at_first ? fmt::format(", {:.0f} once windows are full", at_last) : "";
    line("cache", fmt::format("{:.0f} bytes per token in {}{}, {} at {} tokens", at_first, to_string(type), then,
                              format_bytes(plan_memory(config, 0, {type}, 0, config.max_positions).cache),
                              config.max_positions));
  }
}

void print_tensors(const TensorFile& file) {
  std::size_t width = 4;
  for (const TensorInfo& it : file.tensors()) width = std::max(width, it.name.size());
  fmt::print("\n{:<{}}  {:<5}  {:>12}  shape\n", "tensor", width, "type", "bytes");
  for (const TensorInfo& it : file.tensors()) {
    fmt::print("{:<{}}  {:<5}  {:>12}  [{}]\n", it.name, width, it.type_name, it.data.size(),
               fmt::join(it.shape, ", "));
  }
}

}  // namespace

void add_inspect_command(CLI::App& program) {
  struct Options {
    std::string model;
    bool tensors = false;
    bool quiet = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = program.add_subcommand(
      "inspect", "Show architecture, sizes, tokenizer and cache of a model, or what a compressed context is of");
  command
      ->add_option("model,-m,--model", options->model,
                   "Model: a folder, a .gguf file, demo, or a hub id; or a context of kvpress compress (.kv)")
      ->required();
  command->add_flag("--tensors", options->tensors, "Also print the table of tensors");
  command->add_flag("--quiet", options->quiet, "Print only errors to stderr");
  command->footer(
      "Examples:\n  kvpress inspect demo\n  kvpress inspect model.gguf --tensors\n  kvpress inspect book.kv");
  command->callback([options] {
    set_quiet(options->quiet);
    if (options->model.ends_with(".kv") || ContextFile::is_context(options->model)) {
      const ContextFile file(options->model);
      file.verify();
      fmt::print("{}", context_summary(file.info(), options->model));
      return;
    }
    const OpenedModel opened = open_model(options->model);
    print_summary(opened);
    if (options->tensors) print_tensors(*opened.files->tensors);
  });
}

}  // namespace kvpress

#include "kvpress/model/model.h"

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "kvpress/base/error.h"
#include "model/architecture.h"
#include "model/forward_pass.h"
#include "ops/isa.h"
#include "ops/output_loss.h"

namespace kvpress {
Numerics choose_numerics(const DTypeChoice& choice, StoredType stored) {
  DType type = choice.type;
  if (choice.automatic) {
    const bool rounded = stored != StoredType::f32 && stored != StoredType::f16;
    type = rounded && has_fast_bfloat16() ? DType::bf16 : DType::f32;
  }
  const bool in_bfloat16 = type == DType::bf16 && has_fast_bfloat16();
  return {type, in_bfloat16 ? DType::bf16 : DType::f32, choice.held};
}

DTypeChoice parse_dtype_choice(const std::string& text, const std::string& option) {
  if (text == "auto") return {};
  return {false, parse_dtype(text, option), HeldWeights::as_float};
}

struct Model::Impl {
  ModelConfig config;
  Numerics numerics;
  std::shared_ptr<const void> embedding_owner;  // of the bytes that weights.embedding shows
  DecoderWeights weights;
  LayerRopes ropes;  // without any position: each workspace prepares its own
  // Of calls that bring no workspace of their own: those that nobody uses at the moment.
  mutable std::mutex idle_mutex;
  mutable std::vector<Workspace> idle;
};

Workspace::Workspace() : buffers_(std::make_unique<ForwardBuffers>()) {}
Workspace::Workspace(Workspace&&) noexcept = default;
Workspace& Workspace::operator=(Workspace&&) noexcept = default;
Workspace::~Workspace() = default;

Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;
Model::~Model() = default;

Model::Model(std::shared_ptr<const ModelFiles> files, const DTypeChoice& dtype, std::int64_t planned)
    : impl_(std::make_unique<Impl>()) {
  impl_->config = read_config(*files, planned);
  const bool is_gguf = files->gguf != nullptr;
  const std::string path = files->path.string();
  const auto& tensors = files->tensors->tensors();
  // The type of the largest tensor stands for the file's.
  const auto largest = std::max_element(tensors.begin(), tensors.end(),
                                        [](const auto& a, const auto& b) { return a.n_elements() < b.n_elements(); });
  if (largest == tensors.end()) fail("{}: holds no tensors", path);
  impl_->numerics = choose_numerics(dtype, largest->type);
  const auto& architecture = architecture_by_model_type(impl_->config.architecture, path);
  impl_->weights = read_decoder(impl_->config, *files->tensors, is_gguf ? architecture.gguf_names : architecture.names,
                                impl_->numerics);
  impl_->ropes = impl_->config.ropes();
  impl_->embedding_owner = std::move(files);
}

Model::Model(ModelConfig config, const Numerics& numerics, DecoderWeights weights,
             std::shared_ptr<const void> embedding_owner)
    : impl_(std::make_unique<Impl>()) {
  impl_->config = std::move(config);
  impl_->numerics = numerics;
  impl_->weights = std::move(weights);
  impl_->ropes = impl_->config.ropes();
  impl_->embedding_owner = std::move(embedding_owner);
}

const ModelConfig& Model::config() const { return impl_->config; }
DType Model::dtype() const { return impl_->numerics.storage; }
DType Model::compute_type() const { return impl_->numerics.compute; }
OutputHead Model::output() const { return {impl_->weights.output, impl_->config.logit_soft_cap}; }

std::string Model::numbers() const {
  const std::string type(to_string(impl_->numerics.storage));
  switch (impl_->numerics.held) {
    case HeldWeights::as_float:
      return type;
    case HeldWeights::as_file:
      return type + ", weights as in the file";
    case HeldWeights::as_int8:
      return type + ", weights int8";
    case HeldWeights::as_int4:
      return type + ", weights int4";
  }
  return type;
}

std::size_t Model::weight_bytes() const {
  std::size_t bytes = impl_->weights.embedding.data.size() + impl_->weights.output.bytes();
  for (const LayerWeights& layer : impl_->weights.layers) {
    bytes += layer.qkv.bytes() + layer.attention_out.bytes() + layer.mlp_in.bytes() + layer.mlp_out.bytes();
    bytes += layer.router.bytes();
    for (const ExpertWeights& it : layer.experts) bytes += it.in.bytes() + it.out.bytes();
  }
  return bytes;
}

KVCache Model::make_cache(const CacheFormat& format, std::int64_t n_carried, bool renumber) const {
  const ModelConfig& config = impl_->config;
  return KVCache({config.n_layers, config.n_kv_heads, config.head_dim, format, n_carried, renumber}, impl_->ropes);
}

void Model::forward(std::span<const Step> steps, Workspace& workspace) const {
  ForwardPass pass(impl_->config, impl_->weights, impl_->numerics, impl_->ropes, steps, *workspace.buffers_);
  try {
    pass.run();
  } catch (...) {
    pass.undo();
    throw;
  }
}

void Model::forward(const Step& step) const {
  Workspace workspace;
  {
    const std::scoped_lock lock(impl_->idle_mutex);
    if (!impl_->idle.empty()) {
      workspace = std::move(impl_->idle.back());
      impl_->idle.pop_back();
    }
  }
  forward({&step, 1}, workspace);
  const std::scoped_lock lock(impl_->idle_mutex);
  impl_->idle.push_back(std::move(workspace));
}

void Model::logits(Matrix<const float> hidden, Matrix<float> out) const { output_logits(hidden, output(), out); }

}  // namespace kvpress

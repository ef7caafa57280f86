// From the name a user types to the files of a model.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "kvpress/formats/gguf.h"
#include "kvpress/formats/tensor_file.h"

namespace kvpress {

/// The open files of a model: a folder of transformers' kind (config.json, safetensors, tokenizer.json), or a GGUF,
/// which holds all three.
struct ModelFiles {
  std::string name;            ///< as the user gave it
  std::filesystem::path path;  ///< the folder or file it resolved to
  std::unique_ptr<TensorFile> tensors;
  const GgufFile* gguf = nullptr;        ///< `tensors` seen as a GGUF, else null
  std::filesystem::path config_json;     ///< empty for a GGUF
  std::filesystem::path tokenizer_json;  ///< empty for a GGUF or when the folder has none
};

/// `name` is a folder, a .gguf file, a .safetensors file beside its config.json, "demo" (what ships), or what the hub
/// has: a model, "EleutherAI/pythia-70m" or "EleutherAI/pythia-70m@step1000", or a file of one, "ORG/NAME/FILE.gguf".
/// That is taken from the hub's local cache (hub_settings.h says where it is); what is not there is fetched first.
/// Throws Error (or UsageError for a file that can be none of these) that says where was looked and what would be
/// right.
ModelFiles open_model_files(const std::string& name);

/// The folder that holds what ships (models/, data/): $KVPRESS_DATA_DIR, else the installed share/kvpress beside the
/// program, else the source tree it was built from. Throws Error when none exists.
std::filesystem::path shipped_data_dir();

}  // namespace kvpress

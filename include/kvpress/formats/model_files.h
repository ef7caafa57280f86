// Finds and opens the files of a model by the name that the user gives.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "kvpress/formats/gguf.h"
#include "kvpress/formats/tensor_file.h"

namespace kvpress {

/// The open files of a model: a folder of transformers (config.json, safetensors, tokenizer.json), or a GGUF, which
/// contains all three.
struct ModelFiles {
  std::string name;            ///< as the user gave it
  std::filesystem::path path;  ///< the folder or file it resolved to
  std::unique_ptr<TensorFile> tensors;
  const GgufFile* gguf = nullptr;     ///< `tensors` if it is a GGUF, else null
  std::filesystem::path config_json;  ///< empty for a GGUF
  std::filesystem::path tokenizer;    ///< tokenizer.json, else tokenizer.model, else tekken.json; empty for a GGUF
  std::string incomplete;             ///< why files of a hub's model could not be fetched; empty if all are there
};

/// `name` is a folder, a .gguf file, a .safetensors file with a config.json beside it, "demo" (the included model), or
/// a name of the hub: a model, "EleutherAI/pythia-70m" or "EleutherAI/pythia-70m@step1000", or a file,
/// "ORG/NAME/FILE.gguf". Models of the hub are read from its local cache (hub_settings.h) and downloaded if they are
/// not there. Throws Error with the path and what is valid, or UsageError for a file of another kind.
ModelFiles open_model_files(const std::string& name);

/// The folder with the included models/ and data/: $KVPRESS_DATA_DIR, else the installed share/kvpress, else the source
/// tree of the build. Throws Error if none exists.
std::filesystem::path shipped_data_dir();

}  // namespace kvpress

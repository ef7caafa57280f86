// Prints the tensors of a model: "demo" (what ships with kvpress), a folder, a GGUF, or the name of one in the hub's
// cache.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdint>
#include <cstdio>

#include "kvpress/base/error.h"
#include "kvpress/base/memory.h"
#include "kvpress/formats/model_files.h"

int main(int argc, char** argv) {
  try {
    const kvpress::ModelFiles files = kvpress::open_model_files(argc > 1 ? argv[1] : "demo");
    std::size_t bytes = 0;
    std::int64_t parameters = 0;
    for (const kvpress::TensorInfo& tensor : files.tensors->tensors()) {
      fmt::print("{:<60} {:<5} {}\n", tensor.name, tensor.type_name, fmt::join(tensor.shape, " x "));
      bytes += tensor.data.size();
      parameters += tensor.n_elements();
    }
    fmt::print("{} tensors, {} parameters, {}\n", files.tensors->tensors().size(), parameters,
               kvpress::format_bytes(static_cast<double>(bytes)));
    return 0;
  } catch (const kvpress::Error& error) {
    fmt::print(stderr, "tensors: {}\n", error.what());
    return 1;
  }
}

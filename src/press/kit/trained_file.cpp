#include "kvpress/press/kit/trained_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <system_error>
#include <utility>

#include "formats/printable.h"
#include "formats/safetensors.h"
#include "kvpress/base/error.h"

namespace kvpress {

std::string how_to_calibrate(const std::string& method, const std::string& model_name) {
  if (method.empty()) return "see docs/presses.md";
  return fmt::format("make one: kvpress calibrate {} -m {} -o FILE.safetensors", method, model_name);
}

TrainedFile::TrainedFile(std::string press, std::string parameter, std::string method, std::string path,
                         const PressSetup& setup)
    : press_(std::move(press)), method_(std::move(method)), path_(std::move(path)), model_name_(setup.model_name) {
  if (path_.empty()) complain(fmt::format("needs {}=FILE, parts trained for the model", parameter));
  std::error_code error;
  if (!std::filesystem::exists(path_, error)) complain(fmt::format("{}={}: no such file", parameter, path_));
  file_ = open_safetensors(path_);
}

std::vector<float> TrainedFile::tensor(const std::string& name, const std::vector<std::int64_t>& shape) const {
  const TensorInfo& info = at(name);
  if (info.shape != shape) {
    complain(fmt::format("{} in {} is [{}]; the model needs [{}]", name, path_, fmt::join(info.shape, ", "),
                         fmt::join(shape, ", ")));
  }
  std::vector<float> values(static_cast<std::size_t>(info.n_elements()));
  decode_to_f32(info, 0, values);
  if (!std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); })) {
    complain(fmt::format("{} in {} has values that are not finite", name, path_));
  }
  return values;
}

std::string TrainedFile::names() const {
  std::vector<std::string> names;
  for (const TensorInfo& it : file_->tensors()) {
    if (names.size() == 4) {
      names.emplace_back("...");
      break;
    }
    names.push_back(printable(it.name));
  }
  return names.empty() ? "nothing" : fmt::format("{}", fmt::join(names, ", "));
}

void TrainedFile::complain(const std::string& what) const {
  fail_usage("{}: {}; {}", press_, what,
             method_.empty() ? "see docs/presses.md" : how_to_calibrate(method_, model_name_));
}

const TensorInfo& TrainedFile::at(const std::string& name) const {
  const TensorInfo* found = file_->find(name);
  if (found == nullptr) complain(fmt::format("{} has no tensor {}; it contains {}", path_, name, names()));
  return *found;
}

}  // namespace kvpress

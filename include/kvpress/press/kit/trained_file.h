// The trained parts of a press: tensors of a safetensors file, checked against the model before any weight is loaded.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kvpress/formats/tensor_file.h"
#include "kvpress/press/press.h"

namespace kvpress {

/// Throws UsageError, one line, for everything that is wrong; each says how to make a file that is right. A damaged
/// file is an Error of the reader's.
class TrainedFile {
 public:
  /// `press`: whose parts, for messages. `parameter`: what names the file there. `method`: what "kvpress calibrate"
  /// calls them, empty where it makes none (then messages name the documentation). `path`: a safetensors file, or a
  /// folder that holds a model.safetensors.
  TrainedFile(std::string press, std::string parameter, std::string method, std::string path, const PressSetup& setup);

  bool has(const std::string& name) const { return file_->find(name) != nullptr; }
  /// The shape of a tensor that must be there.
  const std::vector<std::int64_t>& shape(const std::string& name) const { return at(name).shape; }
  /// The values of a tensor that must be there and have this shape, as float32. All are finite.
  std::vector<float> tensor(const std::string& name, const std::vector<std::int64_t>& shape) const;
  /// Names of its tensors, the first few.
  std::string names() const;

  /// Throws "<press>: <what>; <how_to_calibrate>".
  [[noreturn]] void complain(const std::string& what) const;

 private:
  const TensorInfo& at(const std::string& name) const;

  std::string press_;
  std::string method_;
  std::string path_;
  std::string model_name_;
  std::unique_ptr<TensorFile> file_;
};

/// "make one: kvpress calibrate qfilter -m demo -o FILE.safetensors"; where `method` is empty, since
/// "kvpress calibrate" makes none of the kind, where to read about it.
std::string how_to_calibrate(const std::string& method, const std::string& model_name);

}  // namespace kvpress

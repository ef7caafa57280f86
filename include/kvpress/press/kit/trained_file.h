// Trained parts of a press: the tensors of a safetensors file. They are checked against the model before its weights
// are loaded.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kvpress/formats/tensor_file.h"
#include "kvpress/press/press.h"

namespace kvpress {

/// An open file. Functions throw UsageError for a file that does not fit; the message names the command that makes a
/// valid one. A damaged file is an Error.
class TrainedFile {
 public:
  /// `press` and `parameter` are the names of the press and of its parameter, for messages. `method` is the method of
  /// "kvpress calibrate"; if empty, messages name the documentation. `path` is a safetensors file, or a folder with a
  /// model.safetensors.
  TrainedFile(std::string press, std::string parameter, std::string method, std::string path, const PressSetup& setup);

  bool has(const std::string& name) const { return file_->find(name) != nullptr; }
  /// The shape of a tensor. Throws if it is missing.
  const std::vector<std::int64_t>& shape(const std::string& name) const { return at(name).shape; }
  /// The values of a tensor as float32. Throws if it is missing, has another shape, or has a value that is not finite.
  std::vector<float> tensor(const std::string& name, const std::vector<std::int64_t>& shape) const;
  /// The names of the first tensors, for messages.
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

/// "make one: kvpress calibrate qfilter -m demo -o FILE.safetensors". If `method` is empty, a reference to the
/// documentation.
std::string how_to_calibrate(const std::string& method, const std::string& model_name);

}  // namespace kvpress

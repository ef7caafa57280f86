// Lines that a person types, with editing and history, or that a script pipes in.
#pragma once

#include <memory>
#include <optional>
#include <string>

namespace kvpress {

class LineReader {
 public:
  /// Editing and history by libedit where standard input and output are a terminal; otherwise lines are read as they
  /// are, without a prompt.
  explicit LineReader(std::string prompt);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  bool is_terminal() const { return terminal_ != nullptr; }
  /// The next line without its end; empty at the end of the input. A signal at a terminal gives an empty line.
  std::optional<std::string> read();

 private:
  struct Terminal;
  std::unique_ptr<Terminal> terminal_;
};

}  // namespace kvpress

#include "cli/line_reader.h"

#include <histedit.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <cstdio>
#include <iostream>
#include <utility>

namespace kvpress {

struct LineReader::Terminal {
  explicit Terminal(std::string text) : prompt(std::move(text)) {
    std::setlocale(LC_CTYPE, "");  // for characters of several bytes
    edit = ::el_init("kvpress", stdin, stdout, stderr);
    history = ::history_init();
    HistEvent event;
    ::history(history, &event, H_SETSIZE, 1000);
    ::history(history, &event, H_SETUNIQUE, 1);
    ::el_set(edit, EL_CLIENTDATA, this);
    ::el_set(edit, EL_PROMPT, prompt_of);
    ::el_set(edit, EL_EDITOR, "emacs");
    ::el_set(edit, EL_HIST, ::history, history);
    ::el_source(edit, nullptr);  // the user's ~/.editrc
  }
  ~Terminal() {
    ::history_end(history);
    ::el_end(edit);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  static char* prompt_of(EditLine* edit) {
    void* self = nullptr;
    ::el_get(edit, EL_CLIENTDATA, &self);
    return static_cast<Terminal*>(self)->prompt.data();
  }

  std::optional<std::string> read() {
    int n = 0;
    errno = 0;
    const char* line = ::el_gets(edit, &n);
    if (line == nullptr || n <= 0) {
      if (errno != EINTR) return std::nullopt;
      ::el_reset(edit);
      std::fputs("\n", stdout);
      return "";
    }
    std::string text(line, static_cast<std::size_t>(n));
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
    HistEvent event;
    if (!text.empty()) ::history(history, &event, H_ENTER, text.c_str());
    return text;
  }

  std::string prompt;
  EditLine* edit;
  History* history;
};

LineReader::LineReader(std::string prompt) {
  if (::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1)
    terminal_ = std::make_unique<Terminal>(std::move(prompt));
}

LineReader::~LineReader() = default;

std::optional<std::string> LineReader::read() {
  if (terminal_) return terminal_->read();
  std::string line;
  if (!std::getline(std::cin, line)) return std::nullopt;
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

}  // namespace kvpress

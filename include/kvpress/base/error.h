// Errors that users see: one line with the file or option, what is wrong, and what is valid.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace kvpress {

/// A failure at run time (a damaged file, a full disk). The program ends with exit code 1.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// An invalid request (an unknown press, a ratio of 2). The program ends with exit code 2.
class UsageError : public Error {
 public:
  using Error::Error;
};

/// Ctrl-C or SIGTERM. The program ends with exit code 130; finished results stay complete.
class Interrupted : public Error {
 public:
  Interrupted() : Error("interrupted") {}
};

/// Throws Error with the formatted message.
template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

/// Throws UsageError with the formatted message.
template <typename... Args>
[[noreturn]] void fail_usage(fmt::format_string<Args...> format, Args&&... args) {
  throw UsageError(fmt::format(format, std::forward<Args>(args)...));
}

/// What messages call a setting of the library: its name ("chunk_size"), or what name_settings() makes of it.
std::string setting(std::string_view name);
/// For a program whose users know settings by other names (options of a command line). Call it before anything else.
void name_settings(std::string (*name_of)(std::string_view name));

/// A setting whose value makes no sense.
template <typename... Args>
[[noreturn]] void fail_setting(std::string_view name, fmt::format_string<Args...> format, Args&&... args) {
  throw UsageError(setting(name) + ": " + fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace kvpress

// The errors of the server's interface, in the form of OpenAI's: a status, a type, a code, and the field at fault.
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>

#include "kvpress/base/error.h"

namespace kvpress::serve {

class ApiError : public Error {
 public:
  ApiError(int status_, std::string type_, std::string code_, std::string param_, const std::string& message)
      : Error(message), status(status_), type(std::move(type_)), code(std::move(code_)), param(std::move(param_)) {}

  int status;           ///< of HTTP
  std::string type;     ///< "invalid_request_error", "rate_limit_error", "server_error", ...
  std::string code;     ///< "model_not_found", ...; empty: none
  std::string param;    ///< the field: "max_tokens", "messages[0].role", "kvpress.press"; empty: none
  int retry_after = 0;  ///< seconds after which to try again; 0: not said
};

/// A field whose value makes no sense (400).
template <typename... Args>
[[noreturn]] void fail_field(const std::string& param, fmt::format_string<Args...> format, Args&&... args) {
  throw ApiError(400, "invalid_request_error", "", param,
                 param + ": " + fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace kvpress::serve

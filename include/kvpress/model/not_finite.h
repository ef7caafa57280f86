// The error of numbers that are NaN or infinite, or that their format does not hold. A result that they pass into would
// mean nothing: whoever finds one ends the run.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "kvpress/base/dtype.h"
#include "kvpress/base/error.h"

namespace kvpress {

/// "token 17 (id 345): the logits are not finite; ...". Positions count from 0.
class NotFinite : public Error {
 public:
  /// `what` says which numbers; `remedy` what would help.
  NotFinite(std::int64_t position, std::int32_t token, std::string what, std::string remedy);

  /// The same error for readers: in which text, unless empty, and what the token is there, unless empty. Its position
  /// becomes that in the text, by adding `offset`.
  NotFinite in(std::string_view text, std::string_view token, std::int64_t offset = 0) const;

  std::int64_t position() const { return position_; }
  std::int32_t token() const { return token_; }

 private:
  NotFinite(const std::string& where, const NotFinite& other);

  std::int64_t position_;
  std::int32_t token_;
  std::string what_, remedy_;
};

/// What helps against numbers that are not finite in a run of this type: another type, or a look at the file.
std::string remedy_for(DType type);

}  // namespace kvpress

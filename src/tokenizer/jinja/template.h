// A chat template: a Jinja program, as transformers runs it (jinja2's ImmutableSandboxedEnvironment with trim_blocks,
// lstrip_blocks, break and continue, {% generation %}, tojson, raise_exception and strftime_now).
#pragma once

#include <nlohmann/json.hpp>

#include <ctime>
#include <string>
#include <string_view>

#include "tokenizer/jinja/ast.h"

namespace kvpress::jinja {

class Template {
 public:
  /// `name` stands in errors. Throws Error with name, line and what is wrong.
  Template(std::string name, std::string_view source);

  /// `variables`: an object with what the template may read. `now` is what strftime_now() sees. Always ends: work,
  /// memory and nesting have limits that grow with the variables' size. Throws Error with name, line and what is wrong,
  /// also for what the template itself raises.
  std::string render(const nlohmann::ordered_json& variables, const std::tm& now) const;

 private:
  std::string name_;
  StatementList body_;
};

}  // namespace kvpress::jinja

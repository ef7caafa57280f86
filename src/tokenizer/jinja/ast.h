// A parsed template.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tokenizer/jinja/value.h"

namespace kvpress::jinja {

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

struct CallArguments {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  ExpressionPtr more_positional;  ///< *value; null: none
  ExpressionPtr more_named;       ///< **value
};

struct Expression {
  enum class Kind {
    constant,
    name,
    namespace_reference,  ///< a target: name.attribute
    tuple,
    list,
    dict,  ///< children: key, value, key, value, ...
    attribute,
    item,   ///< children: value, key
    slice,  ///< children: value, begin, end, step; null: not given
    call,
    filter,  ///< children: value
    test,    ///< children: value
    unary,   ///< name: - + not
    binary,  ///< name: + - * / // % **
    concatenation,
    comparison,  ///< children: as many as operations, and one more
    conjunction,
    disjunction,
    conditional,  ///< children: condition, value, other value or null
  };
  Kind kind;
  int line;
  int depth = 1;  ///< of expressions in it
  std::string name;
  std::string attribute;
  Value constant;
  std::vector<ExpressionPtr> children;
  std::vector<std::string> operations;
  CallArguments arguments;
};

struct Statement;
using StatementList = std::vector<Statement>;

/// The parameters of a macro or a call block: the last ones have defaults.
struct Signature {
  std::vector<std::string> names;
  std::vector<ExpressionPtr> defaults;
  bool uses_caller = false;
  bool uses_varargs = false;
  bool uses_kwargs = false;
};

struct Branch {
  ExpressionPtr condition;  ///< null: else
  StatementList body;
};

struct Statement {
  enum class Kind {
    data,
    output,
    loop,  ///< target, value, condition (null: none), body, otherwise
    branches,
    set,           ///< target, value
    set_block,     ///< target, body, value: its filters over a placeholder, or null
    macro,         ///< text: its name
    call_block,    ///< value: the call
    filter_block,  ///< value: the filters over a placeholder
    with,          ///< targets and values
    generation,    ///< what the model wrote, for transformers; here it passes its body
    leave,         ///< break
    next,          ///< continue
  };
  Statement(Kind its_kind, int its_line, std::string its_text = {})
      : kind(its_kind), line(its_line), text(std::move(its_text)) {}

  Kind kind;
  int line;
  std::string text;
  ExpressionPtr target;
  ExpressionPtr value;
  ExpressionPtr condition;
  StatementList body;
  StatementList otherwise;
  std::vector<Branch> branches;
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> assignments;
  Signature signature;
  bool uses_loop = false;  ///< the body reads `loop`
};

/// The name under which a block's text is given to its filters.
inline constexpr const char* kBlockText = " block";

}  // namespace kvpress::jinja

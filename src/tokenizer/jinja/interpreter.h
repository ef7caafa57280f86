// Runs a parsed template.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizer/jinja/ast.h"
#include "tokenizer/jinja/runtime.h"

namespace kvpress::jinja {

/// The variables of a block, over those of the blocks around it.
class Scope : public Cyclic {
 public:
  explicit Scope(std::shared_ptr<Scope> parent) : parent_(std::move(parent)) {}
  /// Null if neither this block nor those around it have it.
  const Value* find(std::string_view name) const;
  void set(Runtime& runtime, std::string_view name, Value value);
  void release() override { variables_.clear(); }
  /// Keeps this scope and those around it until the end: a macro sees them, and they may hold the macro.
  static void keep(Runtime& runtime, std::shared_ptr<Scope> scope);

 private:
  std::shared_ptr<Scope> parent_;
  std::vector<std::pair<std::string, Value>> variables_;
  bool is_kept_ = false;
};

class Interpreter {
 public:
  explicit Interpreter(Runtime& runtime) : runtime_(runtime), scope_(std::make_shared<Scope>(nullptr)) {}

  void define(std::string_view name, Value value) { scope_->set(runtime_, name, std::move(value)); }
  /// The text. Raises a Problem; line() is where.
  std::string run(const StatementList& body);
  int line() const { return line_; }

  /// The text of a macro: its body with `arguments`, where `scope` is what it sees.
  Value call_macro(const Statement& macro, const std::shared_ptr<Scope>& scope, const Arguments& arguments);

 private:
  enum class Flow { normal, leave, next };
  class InnerScope;

  // Statements (interpreter.cpp).
  Flow execute(const StatementList& body);
  Flow execute(const Statement& statement);
  Flow run_loop(const Statement& loop);
  Flow run_branches(const Statement& statement);
  /// The body's text in a scope of its own, given to the filters if there are any.
  Value captured(const Statement& statement, Flow& flow);
  Flow run_generation(const Statement& statement);
  Flow run_with(const Statement& with);
  void run_call_block(const Statement& block);
  Value make_macro(const Statement& statement);
  void bind(const Statement& macro, const Arguments& arguments);
  void assign(const Expression& target, const Value& value);
  void print(const Value& value);

  // Expressions (evaluate.cpp).
  Value evaluate(const Expression& expression);
  Value lookup(const std::string& name);
  Value evaluate_dict(const Expression& expression);
  Value evaluate_slice(const Expression& expression);
  Value evaluate_call(const Expression& expression);
  Value evaluate_filter(const Expression& expression);
  Value evaluate_comparison(const Expression& expression);
  Value evaluate_concatenation(const Expression& expression);
  Value evaluate_conditional(const Expression& expression);
  Value evaluate_unary(const Expression& expression);
  std::vector<Value> evaluate_all(const std::vector<ExpressionPtr>& expressions);
  Arguments evaluate_arguments(const CallArguments& arguments);

  Runtime& runtime_;
  std::shared_ptr<Scope> scope_;
  std::string out_;
  int line_ = 1;
};

/// What `loop` is in a loop.
Value make_loop(Runtime& runtime, const std::vector<Value>& items);
void advance_loop(const Value& loop);

}  // namespace kvpress::jinja

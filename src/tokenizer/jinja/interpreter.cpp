// Statements.
#include "tokenizer/jinja/interpreter.h"

#include <algorithm>

#include "tokenizer/jinja/filters.h"

namespace kvpress::jinja {
namespace {

class Macro : public Object {
 public:
  Macro(Interpreter& interpreter, const Statement& statement, std::shared_ptr<Scope> scope)
      : interpreter_(interpreter), statement_(statement), scope_(std::move(scope)) {}
  std::string_view type() const override { return "Macro"; }
  bool is_callable() const override { return true; }
  Value call(Runtime&, const Arguments& arguments) override {
    return interpreter_.call_macro(statement_, scope_, arguments);
  }
  bool attribute(Runtime& runtime, std::string_view name, Value& value) const override {
    if (name == "name") value = runtime.text(statement_.text);
    return name == "name";
  }

 private:
  Interpreter& interpreter_;
  const Statement& statement_;
  std::shared_ptr<Scope> scope_;
};

bool has(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

const Value* Scope::find(std::string_view name) const {
  for (const Scope* scope = this; scope != nullptr; scope = scope->parent_.get()) {
    for (const auto& [own, value] : scope->variables_) {
      if (own == name) return &value;
    }
  }
  return nullptr;
}

void Scope::set(Runtime& runtime, std::string_view name, Value value) {
  for (auto& [own, it] : variables_) {
    if (own != name) continue;
    it = std::move(value);
    return;
  }
  runtime.grow(name.size() + 64);
  variables_.emplace_back(std::string(name), std::move(value));
}

void Scope::keep(Runtime& runtime, std::shared_ptr<Scope> scope) {
  for (; scope != nullptr && !scope->is_kept_; scope = scope->parent_) {
    scope->is_kept_ = true;
    runtime.keep(scope);
  }
}

/// A scope in the current one (or in another), as long as it lives.
class Interpreter::InnerScope {
 public:
  explicit InnerScope(Interpreter& interpreter) : InnerScope(interpreter, interpreter.scope_) {}
  InnerScope(Interpreter& interpreter, const std::shared_ptr<Scope>& parent)
      : interpreter_(interpreter), outer_(interpreter.scope_) {
    interpreter.runtime_.step();
    interpreter.scope_ = std::make_shared<Scope>(parent);
  }
  ~InnerScope() { interpreter_.scope_ = outer_; }
  InnerScope(const InnerScope&) = delete;
  InnerScope& operator=(const InnerScope&) = delete;

 private:
  Interpreter& interpreter_;
  std::shared_ptr<Scope> outer_;
};

std::string Interpreter::run(const StatementList& body) {
  const InnerScope inner(*this);
  execute(body);
  return std::move(out_);
}

Interpreter::Flow Interpreter::execute(const StatementList& body) {
  for (const Statement& statement : body) {
    const Flow flow = execute(statement);
    if (flow != Flow::normal) return flow;
  }
  return Flow::normal;
}

Interpreter::Flow Interpreter::execute(const Statement& statement) {
  const Runtime::Level level(runtime_);
  runtime_.step();
  line_ = statement.line;
  Flow flow = Flow::normal;
  switch (statement.kind) {
    case Statement::Kind::data:
      runtime_.grow(statement.text.size());
      out_ += statement.text;
      break;
    case Statement::Kind::output:
      print(evaluate(*statement.value));
      break;
    case Statement::Kind::loop:
      return run_loop(statement);
    case Statement::Kind::branches:
      return run_branches(statement);
    case Statement::Kind::set:
      assign(*statement.target, evaluate(*statement.value));
      break;
    case Statement::Kind::set_block: {
      const Value text = captured(statement, flow);
      if (flow == Flow::normal) assign(*statement.target, text);
      return flow;
    }
    case Statement::Kind::macro:
      scope_->set(runtime_, statement.text, make_macro(statement));
      break;
    case Statement::Kind::call_block:
      run_call_block(statement);
      break;
    case Statement::Kind::filter_block: {
      const Value text = captured(statement, flow);
      if (flow == Flow::normal) print(text);
      return flow;
    }
    case Statement::Kind::with:
      return run_with(statement);
    case Statement::Kind::generation:
      return run_generation(statement);
    case Statement::Kind::leave:
      return Flow::leave;
    case Statement::Kind::next:
      return Flow::next;
  }
  return flow;
}

void Interpreter::print(const Value& value) {
  const Value text = to_text(runtime_, value);
  runtime_.grow(text.text().size());
  out_ += text.text();
}

Interpreter::Flow Interpreter::run_loop(const Statement& loop) {
  std::vector<Value> items = items_of(runtime_, evaluate(*loop.value));
  if (loop.condition != nullptr) {
    std::vector<Value> chosen;
    for (Value& item : items) {
      const InnerScope inner(*this);
      assign(*loop.target, item);
      if (is_true(evaluate(*loop.condition))) chosen.push_back(std::move(item));
    }
    items = std::move(chosen);
  }
  const Value about = loop.uses_loop ? make_loop(runtime_, items) : Value();
  bool none_finished = true;
  for (const Value& item : items) {
    const InnerScope inner(*this);
    if (loop.uses_loop) {
      advance_loop(about);
      scope_->set(runtime_, "loop", about);
    }
    assign(*loop.target, item);
    const Flow flow = execute(loop.body);
    if (flow == Flow::leave) break;
    if (flow == Flow::normal) none_finished = false;
  }
  // As jinja2 has it: also when every turn was cut short.
  if (!none_finished || loop.otherwise.empty()) return Flow::normal;
  const InnerScope inner(*this);
  return execute(loop.otherwise);
}

Interpreter::Flow Interpreter::run_branches(const Statement& statement) {
  for (const Branch& branch : statement.branches) {
    if (branch.condition == nullptr || is_true(evaluate(*branch.condition))) return execute(branch.body);
  }
  return Flow::normal;
}

Value Interpreter::captured(const Statement& statement, Flow& flow) {
  const InnerScope inner(*this);
  std::string outer = std::exchange(out_, {});
  flow = execute(statement.body);
  std::string text = std::exchange(out_, std::move(outer));
  scope_->set(runtime_, kBlockText, runtime_.text(std::move(text)));
  return flow == Flow::normal ? evaluate(*statement.value) : Value();
}

Interpreter::Flow Interpreter::run_generation(const Statement& statement) {
  const InnerScope inner(*this);
  return execute(statement.body);
}

Interpreter::Flow Interpreter::run_with(const Statement& with) {
  std::vector<Value> values;  // of the variables outside
  for (const auto& [target, value] : with.assignments) values.push_back(evaluate(*value));
  const InnerScope inner(*this);
  for (std::size_t i = 0; i < values.size(); ++i) assign(*with.assignments[i].first, values[i]);
  return execute(with.body);
}

Value Interpreter::make_macro(const Statement& statement) {
  Scope::keep(runtime_, scope_);
  runtime_.grow(64);
  return std::shared_ptr<Object>(std::make_shared<Macro>(*this, statement, scope_));
}

void Interpreter::run_call_block(const Statement& block) {
  const Value function = evaluate(*block.value->children[0]);
  Arguments arguments = evaluate_arguments(block.value->arguments);
  arguments.named.emplace_back("caller", make_macro(block));
  line_ = block.line;
  print(call(runtime_, function, arguments));
}

Value Interpreter::call_macro(const Statement& macro, const std::shared_ptr<Scope>& scope, const Arguments& arguments) {
  const InnerScope inner(*this, scope);
  bind(macro, arguments);
  std::string outer = std::exchange(out_, {});
  execute(macro.body);
  return runtime_.text(std::exchange(out_, std::move(outer)));
}

void Interpreter::bind(const Statement& macro, const Arguments& arguments) {
  const Signature& signature = macro.signature;
  const auto& names = signature.names;
  const std::size_t n_given = std::min(arguments.positional.size(), names.size());
  const auto named = [&](std::string_view name) -> const Value* {
    for (const auto& [own, value] : arguments.named) {
      if (own == name) return &value;
    }
    return nullptr;
  };
  std::vector<std::pair<Value, Value>> more_named;
  for (const auto& [name, value] : arguments.named) {
    const auto at = static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
    if (at < names.size() && at >= n_given) continue;
    if (name == "caller" && signature.uses_caller) continue;
    if (!signature.uses_kwargs) raise("macro '{}' takes no keyword argument '{}'", macro.text, name);
    more_named.emplace_back(runtime_.text(name), value);
  }
  if (arguments.positional.size() > names.size() && !signature.uses_varargs) {
    raise("macro '{}' takes not more than {} argument(s)", macro.text, names.size());
  }
  if (signature.uses_caller && !has(names, "caller")) {
    const Value* caller = named("caller");
    scope_->set(runtime_, "caller", caller != nullptr ? *caller : runtime_.undefined("No caller defined"));
  }
  if (signature.uses_kwargs) scope_->set(runtime_, "kwargs", runtime_.dict(std::move(more_named)));
  if (signature.uses_varargs) {
    std::vector<Value> more(arguments.positional.begin() + static_cast<std::ptrdiff_t>(n_given),
                            arguments.positional.end());
    scope_->set(runtime_, "varargs", runtime_.tuple(std::move(more)));
  }
  const std::size_t first_default = names.size() - signature.defaults.size();
  for (std::size_t i = 0; i < names.size(); ++i) {
    const Value* given = i < n_given ? &arguments.positional[i] : named(names[i]);
    if (given != nullptr) {
      scope_->set(runtime_, names[i], *given);
    } else if (i < first_default) {
      scope_->set(runtime_, names[i], runtime_.undefined(fmt::format("parameter '{}' was not provided", names[i])));
    } else {
      scope_->set(runtime_, names[i], evaluate(*signature.defaults[i - first_default]));
    }
  }
}

void Interpreter::assign(const Expression& target, const Value& value) {
  if (target.kind == Expression::Kind::name) return scope_->set(runtime_, target.name, value);
  if (target.kind == Expression::Kind::namespace_reference) {
    const Value owner = lookup(target.name);
    auto* space = owner.object_as<Namespace>();
    if (space == nullptr) raise("cannot assign attribute on non-namespace object '{}'", target.name);
    return space->set(runtime_, target.attribute, value);
  }
  const std::vector<Value> items = items_of(runtime_, value);
  if (items.size() != target.children.size()) {
    raise("{} values to unpack (expected {}, got {})",
          items.size() < target.children.size() ? "not enough" : "too many", target.children.size(), items.size());
  }
  for (std::size_t i = 0; i < items.size(); ++i) assign(*target.children[i], items[i]);
}

}  // namespace kvpress::jinja

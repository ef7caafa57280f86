// Expressions.
#include <algorithm>

#include "tokenizer/jinja/filters.h"
#include "tokenizer/jinja/interpreter.h"
#include "tokenizer/jinja/operators.h"

namespace kvpress::jinja {

using Kind = Expression::Kind;

Value Interpreter::evaluate(const Expression& expression) {
  const Runtime::Level level(runtime_);
  runtime_.step();
  line_ = expression.line;
  const auto child = [&](std::size_t i) { return evaluate(*expression.children[i]); };
  switch (expression.kind) {
    case Kind::constant:
      return expression.constant;
    case Kind::name:
      return lookup(expression.name);
    case Kind::namespace_reference:
      break;  // assigned to only
    case Kind::tuple:
      return runtime_.tuple(evaluate_all(expression.children));
    case Kind::list:
      return runtime_.list(evaluate_all(expression.children));
    case Kind::dict:
      return evaluate_dict(expression);
    case Kind::attribute:
      return attribute_of(runtime_, child(0), expression.name);
    case Kind::item: {
      const Value value = child(0);
      return item_of(runtime_, value, child(1));
    }
    case Kind::slice:
      return evaluate_slice(expression);
    case Kind::call:
      return evaluate_call(expression);
    case Kind::filter:
      return evaluate_filter(expression);
    case Kind::test: {
      const Value value = child(0);
      return known_test(expression.name)(runtime_, value, evaluate_arguments(expression.arguments));
    }
    case Kind::unary:
      return evaluate_unary(expression);
    case Kind::binary: {
      const Value left = child(0);
      return arithmetic(runtime_, expression.name, left, child(1));
    }
    case Kind::concatenation:
      return evaluate_concatenation(expression);
    case Kind::comparison:
      return evaluate_comparison(expression);
    case Kind::conjunction:
    case Kind::disjunction: {
      Value left = child(0);
      return is_true(left) == (expression.kind == Kind::disjunction) ? left : child(1);
    }
    case Kind::conditional:
      return evaluate_conditional(expression);
  }
  return {};
}

Value Interpreter::lookup(const std::string& name) {
  if (const Value* value = scope_->find(name)) return *value;
  Value function;
  if (find_function(runtime_, name, function)) return function;
  return runtime_.undefined(fmt::format("'{}' is undefined", name));
}

std::vector<Value> Interpreter::evaluate_all(const std::vector<ExpressionPtr>& expressions) {
  std::vector<Value> values;
  values.reserve(expressions.size());
  for (const auto& it : expressions) values.push_back(evaluate(*it));
  return values;
}

Value Interpreter::evaluate_dict(const Expression& expression) {
  std::vector<std::pair<Value, Value>> items;
  for (std::size_t i = 0; i < expression.children.size(); i += 2) {
    Value key = evaluate(*expression.children[i]);
    set_item(runtime_, items, std::move(key), evaluate(*expression.children[i + 1]));
  }
  return runtime_.dict(std::move(items));
}

Value Interpreter::evaluate_slice(const Expression& expression) {
  Value values[4];
  for (std::size_t i = 0; i < 4; ++i) {
    if (expression.children[i] != nullptr) values[i] = evaluate(*expression.children[i]);
  }
  return slice_of(runtime_, values[0], &values[1], &values[2], &values[3]);
}

Arguments Interpreter::evaluate_arguments(const CallArguments& given) {
  Arguments arguments{evaluate_all(given.positional), {}};
  for (const auto& [name, value] : given.named) arguments.named.emplace_back(name, evaluate(*value));
  if (given.more_positional != nullptr) {
    for (Value& it : items_of(runtime_, evaluate(*given.more_positional)))
      arguments.positional.push_back(std::move(it));
  }
  if (given.more_named != nullptr) {
    const Value more = evaluate(*given.more_named);
    if (!more.is_dict()) raise("argument after ** must be a mapping, not {}", more.type());
    for (const auto& [key, value] : more.dict().items) {
      if (!key.is_text()) raise("keywords must be strings");
      for (const auto& [name, unused] : given.named) {
        if (name == key.text()) raise("got multiple values for keyword argument '{}'", name);
      }
      arguments.named.emplace_back(std::string(key.text()), value);
    }
  }
  return arguments;
}

Value Interpreter::evaluate_call(const Expression& expression) {
  const Value function = evaluate(*expression.children[0]);
  const Arguments arguments = evaluate_arguments(expression.arguments);
  line_ = expression.line;
  return call(runtime_, function, arguments);
}

Value Interpreter::evaluate_filter(const Expression& expression) {
  const Value value = evaluate(*expression.children[0]);
  const Filter filter = known_filter(expression.name);
  const Arguments arguments = evaluate_arguments(expression.arguments);
  line_ = expression.line;
  return filter(runtime_, value, arguments);
}

Value Interpreter::evaluate_comparison(const Expression& expression) {
  Value left = evaluate(*expression.children[0]);
  for (std::size_t i = 0; i < expression.operations.size(); ++i) {
    Value right = evaluate(*expression.children[i + 1]);
    if (!compare(runtime_, expression.operations[i], left, right)) return false;
    left = std::move(right);
  }
  return true;
}

Value Interpreter::evaluate_concatenation(const Expression& expression) {
  std::string text;
  for (const auto& it : expression.children) {
    const Value piece = to_text(runtime_, evaluate(*it));
    runtime_.grow(piece.text().size());
    text += piece.text();
  }
  return runtime_.text(std::move(text));
}

Value Interpreter::evaluate_conditional(const Expression& expression) {
  if (is_true(evaluate(*expression.children[0]))) return evaluate(*expression.children[1]);
  if (expression.children[2] != nullptr) return evaluate(*expression.children[2]);
  return runtime_.undefined("the inline if-expression evaluated to false and no else section was defined");
}

Value Interpreter::evaluate_unary(const Expression& expression) {
  const Value value = evaluate(*expression.children[0]);
  return expression.name == "not" ? Value(!is_true(value)) : signed_value(expression.name, value);
}

}  // namespace kvpress::jinja

// Expressions, from those that bind the least to those that bind the most.
#include <algorithm>
#include <memory>
#include <utility>

#include "tokenizer/jinja/filters.h"
#include "tokenizer/jinja/parser.h"

namespace kvpress::jinja {

using Kind = Expression::Kind;

ExpressionPtr Parser::make(Kind kind, int line, std::string name) const {
  auto expression = std::make_unique<Expression>();
  expression->kind = kind;
  expression->line = line;
  expression->name = std::move(name);
  return expression;
}

/// `child` null: not given.
void Parser::add(Expression& to, ExpressionPtr child) const {
  if (child != nullptr) {
    if (child->depth >= kMaxExpressionDepth) fail_here("an expression has more than {} parts", kMaxExpressionDepth);
    to.depth = std::max(to.depth, child->depth + 1);
  }
  to.children.push_back(std::move(child));
}

ExpressionPtr Parser::parse_expression(bool with_condition) {
  const Level level(*this);
  const std::size_t n_unknown = unknown_.size();
  ExpressionPtr value = parse_binary(0);
  while (with_condition && is_name("if")) {
    const int line = current().line;
    advance();
    const bool may_be_unknown = std::exchange(may_be_unknown_, true);
    ExpressionPtr whole = make(Kind::conditional, line);
    add(*whole, parse_binary(0));
    add(*whole, std::move(value));
    add(*whole, skip_name("else") ? parse_expression() : nullptr);
    unknown_.resize(n_unknown, {});
    value = std::move(whole);
    may_be_unknown_ = may_be_unknown;
  }
  return value;
}

bool Parser::is_tuple_end() const {
  return is(Token::Kind::variable_end) || is(Token::Kind::block_end) || is(Token::Kind::end) || is_symbol(")");
}

ExpressionPtr Parser::parse_tuple(bool explicit_parentheses, bool with_condition) {
  ExpressionPtr tuple = make(Kind::tuple, current().line);
  bool is_tuple = false;
  while (!is_tuple_end()) {
    add(*tuple, parse_expression(with_condition));
    if (!skip_symbol(",")) break;
    is_tuple = true;
  }
  if (is_tuple) return tuple;
  if (!tuple->children.empty()) return std::move(tuple->children[0]);
  if (!explicit_parentheses) fail_here("expected an expression, got {}", shown());
  return tuple;
}

/// `level` 0: or, 1: and.
ExpressionPtr Parser::parse_binary(int level) {
  const std::string_view word = level == 0 ? "or" : "and";
  ExpressionPtr left = level == 0 ? parse_binary(1) : parse_not();
  while (is_name(word)) {
    ExpressionPtr whole = make(level == 0 ? Kind::disjunction : Kind::conjunction, current().line);
    advance();
    add(*whole, std::move(left));
    add(*whole, level == 0 ? parse_binary(1) : parse_not());
    left = std::move(whole);
  }
  return left;
}

ExpressionPtr Parser::parse_not() {
  if (!is_name("not")) return parse_comparison();
  const Level level(*this);
  ExpressionPtr whole = make(Kind::unary, current().line, "not");
  advance();
  add(*whole, parse_not());
  return whole;
}

ExpressionPtr Parser::parse_comparison() {
  ExpressionPtr whole = make(Kind::comparison, current().line);
  ExpressionPtr first = parse_sum();
  while (true) {
    std::string operation;
    for (const std::string_view it : {"==", "!=", "<=", ">=", "<", ">"}) {
      if (operation.empty() && is_symbol(it)) operation = it;
    }
    if (is_name("in")) operation = "in";
    if (is_name("not") && look().kind == Token::Kind::name && look().text == "in") {
      advance();
      operation = "notin";
    }
    if (operation.empty()) break;
    advance();
    if (first != nullptr) add(*whole, std::move(first));
    whole->operations.push_back(std::move(operation));
    add(*whole, parse_sum());
  }
  return first != nullptr ? std::move(first) : std::move(whole);
}

ExpressionPtr Parser::parse_sum() {
  ExpressionPtr left = parse_concatenation();
  while (is_symbol("+") || is_symbol("-")) {
    ExpressionPtr whole = make(Kind::binary, current().line, current().text);
    advance();
    add(*whole, std::move(left));
    add(*whole, parse_concatenation());
    left = std::move(whole);
  }
  return left;
}

ExpressionPtr Parser::parse_concatenation() {
  ExpressionPtr first = parse_product();
  if (!is_symbol("~")) return first;
  ExpressionPtr whole = make(Kind::concatenation, current().line);
  add(*whole, std::move(first));
  while (skip_symbol("~")) add(*whole, parse_product());
  return whole;
}

ExpressionPtr Parser::parse_product() {
  ExpressionPtr left = parse_power();
  while (is_symbol("*") || is_symbol("/") || is_symbol("//") || is_symbol("%")) {
    ExpressionPtr whole = make(Kind::binary, current().line, current().text);
    advance();
    add(*whole, std::move(left));
    add(*whole, parse_power());
    left = std::move(whole);
  }
  return left;
}

ExpressionPtr Parser::parse_power() {
  ExpressionPtr left = parse_unary();
  while (is_symbol("**")) {
    ExpressionPtr whole = make(Kind::binary, current().line, current().text);
    advance();
    add(*whole, std::move(left));
    add(*whole, parse_unary());
    left = std::move(whole);
  }
  return left;
}

ExpressionPtr Parser::parse_unary(bool with_filter) {
  ExpressionPtr value;
  if (is_symbol("-") || is_symbol("+")) {
    const Level level(*this);
    value = make(Kind::unary, current().line, current().text);
    advance();
    add(*value, parse_unary(false));
  } else {
    value = parse_primary();
  }
  value = parse_postfix(std::move(value));
  if (!with_filter) return value;
  while (true) {
    if (is_symbol("|")) {
      value = parse_filters(std::move(value), false);
    } else if (is_name("is")) {
      value = parse_test(std::move(value));
    } else if (is_symbol("(")) {
      value = parse_call(std::move(value));
    } else {
      return value;
    }
  }
}

ExpressionPtr Parser::parse_primary() {
  const int line = current().line;
  ExpressionPtr value = make(Kind::constant, line);
  const auto text_constant = [](std::string text) {
    return Value(Text{std::make_shared<const std::string>(std::move(text)), false});
  };
  if (is(Token::Kind::name)) {
    const std::string name = expect_name();
    if (name == "true" || name == "True" || name == "false" || name == "False") {
      value->constant = name == "true" || name == "True";
    } else if (name != "none" && name != "None") {
      value->kind = Kind::name;
      value->name = name;
      reads_loop_ = reads_loop_ || name == "loop";
      reads_.uses_caller = reads_.uses_caller || name == "caller";
      reads_.uses_varargs = reads_.uses_varargs || name == "varargs";
      reads_.uses_kwargs = reads_.uses_kwargs || name == "kwargs";
    }
  } else if (is(Token::Kind::text)) {
    std::string text;
    for (; is(Token::Kind::text); advance()) text += current().text;  // one after the other are one
    value->constant = text_constant(std::move(text));
  } else if (is(Token::Kind::integer) || is(Token::Kind::number)) {
    value->constant = is(Token::Kind::integer) ? Value(current().integer) : Value(current().number);
    advance();
  } else if (skip_symbol("(")) {
    const Level level(*this);
    value = parse_tuple(true);
    expect_symbol(")");
  } else if (is_symbol("[")) {
    value = parse_brackets();
  } else if (is_symbol("{")) {
    value = parse_braces();
  } else {
    fail_here("unexpected {}", shown());
  }
  return value;
}

ExpressionPtr Parser::parse_brackets() {
  ExpressionPtr list = make(Kind::list, current().line);
  advance();
  while (!is_symbol("]")) {
    if (!list->children.empty()) expect_symbol(",");
    if (is_symbol("]")) break;
    add(*list, parse_expression());
  }
  advance();
  return list;
}

ExpressionPtr Parser::parse_braces() {
  ExpressionPtr dict = make(Kind::dict, current().line);
  advance();
  while (!is_symbol("}")) {
    if (!dict->children.empty()) expect_symbol(",");
    if (is_symbol("}")) break;
    add(*dict, parse_expression());
    expect_symbol(":");
    add(*dict, parse_expression());
  }
  advance();
  return dict;
}

ExpressionPtr Parser::parse_postfix(ExpressionPtr expression) {
  while (true) {
    if (is_symbol(".") || is_symbol("[")) {
      expression = parse_subscript(std::move(expression));
    } else if (is_symbol("(")) {
      expression = parse_call(std::move(expression));
    } else {
      return expression;
    }
  }
}

ExpressionPtr Parser::parse_subscript(ExpressionPtr expression) {
  const int line = current().line;
  if (skip_symbol(".")) {
    if (is(Token::Kind::name)) {
      ExpressionPtr whole = make(Kind::attribute, line, expect_name());
      add(*whole, std::move(expression));
      return whole;
    }
    if (!is(Token::Kind::integer)) fail_here("expected a name or a number, got {}", shown());
    ExpressionPtr whole = make(Kind::item, line);
    add(*whole, std::move(expression));
    add(*whole, parse_primary());
    return whole;
  }
  advance();  // [
  ExpressionPtr whole = make(Kind::item, line);
  add(*whole, std::move(expression));
  if (skip_symbol("]")) {
    add(*whole, make(Kind::tuple, line));
    return whole;
  }
  add(*whole, is_symbol(":") ? nullptr : parse_expression());
  if (is_symbol(":")) {
    whole->kind = Kind::slice;
    while (skip_symbol(":")) {
      const bool given = !is_symbol(":") && !is_symbol("]");
      add(*whole, given ? parse_expression() : nullptr);
      if (whole->children.size() == 4) break;
    }
    while (whole->children.size() < 4) whole->children.push_back(nullptr);
  } else if (is_symbol(",")) {  // a tuple as the key
    ExpressionPtr key = make(Kind::tuple, line);
    add(*key, std::move(whole->children[1]));
    whole->children.pop_back();
    while (skip_symbol(",") && !is_symbol("]")) add(*key, parse_expression());
    add(*whole, std::move(key));
  }
  expect_symbol("]");
  return whole;
}

ExpressionPtr Parser::parse_call(ExpressionPtr expression) {
  ExpressionPtr call = make(Kind::call, current().line);
  add(*call, std::move(expression));
  parse_arguments(*call);
  return call;
}

void Parser::parse_arguments(Expression& call) {
  const Level level(*this);
  CallArguments& arguments = call.arguments;
  const auto value = [&] {
    ExpressionPtr it = parse_expression();
    call.depth = std::max(call.depth, it->depth + 1);
    return it;
  };
  expect_symbol("(");
  for (bool first = true; !is_symbol(")"); first = false) {
    if (!first) expect_symbol(",");
    if (is_symbol(")")) break;
    const bool is_named = is(Token::Kind::name) && look().kind == Token::Kind::symbol && look().text == "=";
    const bool has_more = arguments.more_positional != nullptr || arguments.more_named != nullptr;
    if (skip_symbol("*")) {
      if (has_more) fail_here("invalid syntax for a function call");
      arguments.more_positional = value();
    } else if (skip_symbol("**")) {
      if (arguments.more_named != nullptr) fail_here("invalid syntax for a function call");
      arguments.more_named = value();
    } else if (is_named) {
      if (arguments.more_named != nullptr) fail_here("invalid syntax for a function call");
      std::string name = expect_name();
      advance();
      for (const auto& [other, unused] : arguments.named) {
        if (other == name) fail_here("the argument '{}' is given twice", name);
      }
      arguments.named.emplace_back(std::move(name), value());
    } else {
      if (has_more || !arguments.named.empty()) fail_here("invalid syntax for a function call");
      arguments.positional.push_back(value());
    }
  }
  advance();
}

/// `is_first`: without the | before the first.
ExpressionPtr Parser::parse_filters(ExpressionPtr expression, bool is_first) {
  while (is_first || is_symbol("|")) {
    if (!is_first) advance();
    is_first = false;
    ExpressionPtr filter = make(Kind::filter, current().line, expect_name());
    while (skip_symbol(".")) filter->name += "." + expect_name();
    if (!may_be_unknown_ && find_filter(filter->name) == nullptr) {
      unknown_.push_back({filter->line, "no filter is named '" + filter->name + "'"});
    }
    add(*filter, std::move(expression));
    if (is_symbol("(")) parse_arguments(*filter);
    expression = std::move(filter);
  }
  return expression;
}

ExpressionPtr Parser::parse_test(ExpressionPtr expression) {
  const int line = current().line;
  advance();  // is
  const bool negated = skip_name("not");
  ExpressionPtr test = make(Kind::test, line, expect_name());
  while (skip_symbol(".")) test->name += "." + expect_name();
  if (!may_be_unknown_ && find_test(test->name) == nullptr) {
    unknown_.push_back({line, "no test is named '" + test->name + "'"});
  }
  add(*test, std::move(expression));
  const bool is_value = is(Token::Kind::name) || is(Token::Kind::text) || is(Token::Kind::integer) ||
                        is(Token::Kind::number) || is_symbol("[") || is_symbol("{");
  if (is_symbol("(")) {
    parse_arguments(*test);
  } else if (is_value && !is_name("else") && !is_name("or") && !is_name("and")) {
    if (is_name("is")) fail_here("tests cannot be chained with 'is'");
    ExpressionPtr argument = parse_postfix(parse_primary());
    test->depth = std::max(test->depth, argument->depth + 1);
    test->arguments.positional.push_back(std::move(argument));
  }
  if (!negated) return test;
  ExpressionPtr whole = make(Kind::unary, line, "not");
  add(*whole, std::move(test));
  return whole;
}

}  // namespace kvpress::jinja

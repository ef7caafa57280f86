// Statements.
#include "tokenizer/jinja/parser.h"

#include <algorithm>
#include <utility>

namespace kvpress::jinja {

StatementList parse(const std::string& name, std::string_view source) {
  return Parser(name, tokenize(name, source)).run();
}

Parser::Level::Level(Parser& parser) : parser_(parser) {
  if (parser.depth_ >= kMaxNesting) parser.fail_here("is nested more than {} deep", kMaxNesting);
  ++parser.depth_;
}

StatementList Parser::run() {
  StatementList body = parse_body({});
  if (!is(Token::Kind::end)) fail_here("unexpected {}", shown());
  if (!unknown_.empty()) fail("{}:{}: {}", name_, unknown_[0].line, unknown_[0].what);
  return body;
}

bool Parser::skip_name(std::string_view text) {
  if (!is_name(text)) return false;
  advance();
  return true;
}

bool Parser::skip_symbol(std::string_view text) {
  if (!is_symbol(text)) return false;
  advance();
  return true;
}

void Parser::expect_symbol(std::string_view text) {
  if (!skip_symbol(text)) fail_here("expected '{}', got {}", text, shown());
}

std::string Parser::expect_name() {
  if (!is(Token::Kind::name)) fail_here("expected a name, got {}", shown());
  std::string text = current().text;
  advance();
  return text;
}

std::string Parser::shown() const {
  switch (current().kind) {
    case Token::Kind::end:
      return "the end of the template";
    case Token::Kind::block_end:
      return "'%}'";
    case Token::Kind::variable_end:
      return "'}}'";
    case Token::Kind::name:
    case Token::Kind::symbol:
      return "'" + current().text + "'";
    case Token::Kind::text:
      return "a string";
    case Token::Kind::integer:
    case Token::Kind::number:
      return "a number";
    default:
      return "a tag";
  }
}

void Parser::expect_block_end() {
  if (!is(Token::Kind::block_end)) fail_here("expected '%}}', got {}", shown());
  advance();
}

/// Up to a tag that begins with one of the names, which stays current; without names up to the end of the template.
StatementList Parser::parse_body(std::initializer_list<std::string_view> ends) {
  const Level level(*this);
  StatementList body;
  while (!is(Token::Kind::end)) {
    const int line = current().line;
    if (is(Token::Kind::data)) {
      body.emplace_back(Statement::Kind::data, line, current().text);
      advance();
    } else if (is(Token::Kind::variable_begin)) {
      advance();
      Statement output{Statement::Kind::output, line};
      output.value = parse_tuple(false);
      if (!is(Token::Kind::variable_end)) fail_here("expected '}}}}', got {}", shown());
      advance();
      body.push_back(std::move(output));
    } else {
      advance();
      if (std::any_of(ends.begin(), ends.end(), [&](std::string_view it) { return is_name(it); })) return body;
      parse_statement(body);
      expect_block_end();
    }
  }
  if (ends.size() > 0) fail_here("unexpected end of the template; '{}' is missing", *(ends.end() - 1));
  return body;
}

void Parser::parse_statement(StatementList& body) {
  const int line = current().line;
  const std::string tag = expect_name();
  if (tag == "for") return body.push_back(parse_for(line));
  if (tag == "if") return body.push_back(parse_if(line));
  if (tag == "set") return body.push_back(parse_set(line));
  if (tag == "macro") return body.push_back(parse_macro(line));
  if (tag == "call") return body.push_back(parse_call_block(line));
  if (tag == "with") return body.push_back(parse_with(line));
  if (tag == "print") return parse_print(line, body);
  if (tag == "generation") {
    Statement statement{Statement::Kind::generation, line};
    statement.body = parse_inner("endgeneration", true);
    return body.push_back(std::move(statement));
  }
  if (tag == "filter") {
    Statement statement{Statement::Kind::filter_block, line};
    statement.value = parse_filters(make(Expression::Kind::name, line, kBlockText), true);
    statement.body = parse_inner("endfilter", false);
    return body.push_back(std::move(statement));
  }
  if (tag == "break" || tag == "continue") {
    if (loops_ == 0) fail_here("'{}' is outside of a loop", tag);
    body.emplace_back(tag == "break" ? Statement::Kind::leave : Statement::Kind::next, line);
    return;
  }
  for (const std::string_view it :
       {"include", "import", "from", "extends", "block", "autoescape", "do", "trans", "debug"}) {
    if (tag == it) fail_here("the tag '{}' is not supported in a chat template", tag);
  }
  fail_here("unknown tag '{}'", tag);
}

/// A body with variables of its own, up to and including the tag that ends it. What belongs to a function cannot leave
/// the loops around it.
StatementList Parser::parse_inner(std::string_view end, bool is_function) {
  expect_block_end();
  const int loops = is_function ? std::exchange(loops_, 0) : loops_;
  const bool may_be_unknown = std::exchange(may_be_unknown_, false);
  StatementList body = parse_body({end});
  advance();
  loops_ = loops;
  may_be_unknown_ = may_be_unknown;
  return body;
}

Statement Parser::parse_for(int line) {
  Statement loop{Statement::Kind::loop, line};
  loop.target = parse_target(false);
  if (!skip_name("in")) fail_here("expected 'in', got {}", shown());
  loop.value = parse_tuple(false, false);
  if (skip_name("if")) loop.condition = parse_expression();
  if (is_name("recursive")) fail_here("recursive loops are not supported");
  expect_block_end();
  const bool reads_loop = std::exchange(reads_loop_, false);
  const bool may_be_unknown = std::exchange(may_be_unknown_, false);
  ++loops_;
  loop.body = parse_body({"else", "endfor"});
  --loops_;
  loop.uses_loop = reads_loop_;
  reads_loop_ = reads_loop_ || reads_loop;
  if (skip_name("else")) {
    expect_block_end();
    loop.otherwise = parse_body({"endfor"});
  }
  may_be_unknown_ = may_be_unknown;
  advance();
  return loop;
}

Statement Parser::parse_if(int line) {
  Statement statement{Statement::Kind::branches, line};
  const bool may_be_unknown = std::exchange(may_be_unknown_, true);
  const auto add_branch = [&](ExpressionPtr condition, std::initializer_list<std::string_view> ends) {
    expect_block_end();
    statement.branches.push_back({std::move(condition), parse_body(ends)});
  };
  add_branch(parse_tuple(false, false), {"elif", "else", "endif"});
  while (skip_name("elif")) add_branch(parse_tuple(false, false), {"elif", "else", "endif"});
  if (skip_name("else")) add_branch(nullptr, {"endif"});
  advance();
  may_be_unknown_ = may_be_unknown;
  return statement;
}

Statement Parser::parse_set(int line) {
  Statement statement{Statement::Kind::set, line};
  statement.target = parse_target(true);
  if (skip_symbol("=")) {
    statement.value = parse_tuple(false);
    return statement;
  }
  statement.kind = Statement::Kind::set_block;
  statement.value = parse_filters(make(Expression::Kind::name, line, kBlockText), false);
  statement.body = parse_inner("endset", false);
  return statement;
}

Signature Parser::parse_signature() {
  Signature signature;
  expect_symbol("(");
  while (!is_symbol(")")) {
    if (!signature.names.empty()) expect_symbol(",");
    std::string name = expect_name();
    if (std::count(signature.names.begin(), signature.names.end(), name) > 0)
      fail_here("two parameters are named '{}'", name);
    signature.names.push_back(std::move(name));
    if (skip_symbol("=")) {
      signature.defaults.push_back(parse_expression());
    } else if (!signature.defaults.empty()) {
      fail_here("non-default argument follows default argument");
    }
  }
  advance();
  return signature;
}

Statement Parser::parse_macro(int line) {
  Statement macro{Statement::Kind::macro, line, expect_name()};
  const Signature reads = std::exchange(reads_, {});
  macro.signature = parse_signature();
  macro.body = parse_inner("endmacro", true);
  macro.signature.uses_caller = reads_.uses_caller;
  macro.signature.uses_varargs = reads_.uses_varargs;
  macro.signature.uses_kwargs = reads_.uses_kwargs;
  reads_.uses_caller = reads.uses_caller;
  reads_.uses_varargs = reads.uses_varargs;
  reads_.uses_kwargs = reads.uses_kwargs;
  return macro;
}

Statement Parser::parse_call_block(int line) {
  Statement block{Statement::Kind::call_block, line};
  if (is_symbol("(")) block.signature = parse_signature();
  block.value = parse_expression();
  if (block.value->kind != Expression::Kind::call) fail_here("expected a call");
  block.body = parse_inner("endcall", true);
  return block;
}

Statement Parser::parse_with(int line) {
  Statement with{Statement::Kind::with, line};
  while (!is(Token::Kind::block_end)) {
    if (!with.assignments.empty()) expect_symbol(",");
    ExpressionPtr target = parse_target(false);
    expect_symbol("=");
    with.assignments.emplace_back(std::move(target), parse_expression());
  }
  with.body = parse_inner("endwith", false);
  return with;
}

void Parser::parse_print(int line, StatementList& body) {
  for (bool first = true; !is(Token::Kind::block_end); first = false) {
    if (!first) expect_symbol(",");
    Statement output{Statement::Kind::output, line};
    output.value = parse_expression();
    body.push_back(std::move(output));
  }
}

ExpressionPtr Parser::parse_target(bool with_namespace) {
  const int line = current().line;
  ExpressionPtr target = make(Expression::Kind::tuple, line);
  bool is_tuple = false;
  while (true) {
    const bool ends = is_name("in") || is_symbol("=") || is(Token::Kind::block_end) || is_symbol(")");
    if (ends) break;
    if (with_namespace && is(Token::Kind::name) && look().kind == Token::Kind::symbol && look().text == ".") {
      ExpressionPtr reference = make(Expression::Kind::namespace_reference, line, expect_name());
      advance();
      reference->attribute = expect_name();
      add(*target, std::move(reference));
    } else {
      add(*target, parse_primary());
    }
    if (!skip_symbol(",")) break;
    is_tuple = true;
  }
  if (!is_tuple) {
    if (target->children.empty()) fail_here("expected a name to assign to, got {}", shown());
    target = std::move(target->children[0]);
  }
  check_target(*target, !with_namespace);
  return target;
}

void Parser::check_target(const Expression& target, bool of_loop) const {
  if (target.kind == Expression::Kind::tuple) {
    for (const auto& it : target.children) check_target(*it, of_loop);
    return;
  }
  if (target.kind == Expression::Kind::namespace_reference) return;
  if (target.kind != Expression::Kind::name) fail_here("can't assign to this expression");
  if (of_loop && target.name == "loop") fail_here("can't assign to the special variable 'loop'");
}

}  // namespace kvpress::jinja

// Parses a template. The grammar is that of jinja2 3.1 with the extensions that transformers turns on: break, continue
// and generation. What reads other templates (include, import, extends, block) is refused by name.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "kvpress/base/error.h"
#include "tokenizer/jinja/ast.h"
#include "tokenizer/jinja/lexer.h"

namespace kvpress::jinja {

/// Throws Error with the template's name and the line.
StatementList parse(const std::string& name, std::string_view source);

class Parser {
 public:
  Parser(const std::string& name, std::vector<Token> tokens) : name_(name), tokens_(std::move(tokens)) {}
  StatementList run();

 private:
  static constexpr int kMaxNesting = 200;          ///< of blocks, and of brackets and the like
  static constexpr int kMaxExpressionDepth = 400;  ///< of chains: 1 + 2 + 3 ...

  // Tokens.
  const Token& current() const { return tokens_[at_]; }
  const Token& look() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  void advance() { at_ = std::min(at_ + 1, tokens_.size() - 1); }
  bool is(Token::Kind kind) const { return current().kind == kind; }
  bool is_name(std::string_view text) const { return is(Token::Kind::name) && current().text == text; }
  bool is_symbol(std::string_view text) const { return is(Token::Kind::symbol) && current().text == text; }
  bool skip_name(std::string_view text);
  bool skip_symbol(std::string_view text);
  void expect_symbol(std::string_view text);
  std::string expect_name();
  std::string shown() const;
  template <typename... Args>
  [[noreturn]] void fail_here(fmt::format_string<Args...> format, Args&&... args) const {
    fail("{}:{}: {}", name_, current().line, fmt::format(format, std::forward<Args>(args)...));
  }

  /// One level of nesting, as long as it lives.
  class Level {
   public:
    explicit Level(Parser& parser);
    ~Level() { --parser_.depth_; }

   private:
    Parser& parser_;
  };

  // Statements (parser.cpp).
  StatementList parse_body(std::initializer_list<std::string_view> ends);
  void parse_statement(StatementList& body);
  Statement parse_for(int line);
  Statement parse_if(int line);
  Statement parse_set(int line);
  Statement parse_macro(int line);
  Statement parse_call_block(int line);
  Statement parse_with(int line);
  void parse_print(int line, StatementList& body);
  StatementList parse_inner(std::string_view end, bool is_function);
  Signature parse_signature();
  ExpressionPtr parse_target(bool with_namespace);
  void check_target(const Expression& target, bool of_loop) const;
  void expect_block_end();

  // Expressions (parser_expressions.cpp).
  ExpressionPtr make(Expression::Kind kind, int line, std::string name = {}) const;
  void add(Expression& to, ExpressionPtr child) const;
  ExpressionPtr parse_expression(bool with_condition = true);
  ExpressionPtr parse_tuple(bool explicit_parentheses, bool with_condition = true);
  ExpressionPtr parse_binary(int level);
  ExpressionPtr parse_not();
  ExpressionPtr parse_comparison();
  ExpressionPtr parse_sum();
  ExpressionPtr parse_concatenation();
  ExpressionPtr parse_product();
  ExpressionPtr parse_power();
  ExpressionPtr parse_unary(bool with_filter = true);
  ExpressionPtr parse_primary();
  ExpressionPtr parse_brackets();
  ExpressionPtr parse_braces();
  ExpressionPtr parse_postfix(ExpressionPtr expression);
  ExpressionPtr parse_subscript(ExpressionPtr expression);
  ExpressionPtr parse_call(ExpressionPtr expression);
  ExpressionPtr parse_filters(ExpressionPtr expression, bool is_first);
  ExpressionPtr parse_test(ExpressionPtr expression);
  void parse_arguments(Expression& call);
  bool is_tuple_end() const;

  const std::string& name_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int depth_ = 0;
  int loops_ = 0;                ///< the loops around that break and continue may leave
  bool may_be_unknown_ = false;  ///< inside a condition's branch, where unknown filters are an error only when they run
  struct Unknown {
    int line;
    std::string what;
  };
  std::vector<Unknown> unknown_;  ///< filters and tests outside of such branches
  bool reads_loop_ = false;
  Signature reads_;  ///< the special names read since a macro began
};

}  // namespace kvpress::jinja

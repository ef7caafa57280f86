#include "tokenizer/jinja/template.h"

#include <algorithm>
#include <limits>

#include "kvpress/base/error.h"
#include "tokenizer/jinja/interpreter.h"
#include "tokenizer/jinja/parser.h"
#include "tokenizer/jinja/text.h"
#include "tokenizer/unicode.h"

namespace kvpress::jinja {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMaxSource = std::size_t{1} << 20;

std::size_t bytes_of(const Json& json, int level = 0) {
  if (level > Runtime::kMaxNesting) raise("the variables nest lists and dicts more than {} deep", Runtime::kMaxNesting);
  if (json.is_string()) return json.get_ref<const std::string&>().size() + 32;
  std::size_t sum = 32;
  for (const auto& it : json.items()) {
    if (json.is_object()) sum += it.key().size() + 32;
    if (json.is_structured()) sum += bytes_of(it.value(), level + 1);
  }
  return sum;
}

std::string valid(const std::string& text) {
  std::string storage;
  return std::string(to_valid_utf8(text, storage));
}

Value value_of(Runtime& runtime, const Json& json) {
  switch (json.type()) {
    case Json::value_t::boolean:
      return json.get<bool>();
    case Json::value_t::number_integer:
      return json.get<std::int64_t>();
    case Json::value_t::number_unsigned: {
      const auto number = json.get<std::uint64_t>();
      if (number > std::numeric_limits<std::int64_t>::max())
        raise("the variables' integer {} does not fit in 64 bits", number);
      return static_cast<std::int64_t>(number);
    }
    case Json::value_t::number_float:
      return json.get<double>();
    case Json::value_t::string:
      return runtime.text(valid(json.get_ref<const std::string&>()));
    case Json::value_t::array: {
      std::vector<Value> items;
      for (const auto& it : json) items.push_back(value_of(runtime, it));
      return runtime.list(std::move(items));
    }
    case Json::value_t::object: {
      std::vector<std::pair<Value, Value>> items;
      for (const auto& it : json.items())
        items.emplace_back(runtime.text(valid(it.key())), value_of(runtime, it.value()));
      return runtime.dict(std::move(items));
    }
    default:
      return {};
  }
}

/// What a user sees of a message, which may be the template's own: one line, and not too long.
std::string one_line(std::string_view message) {
  constexpr std::size_t kMost = 500;
  std::string line(strip(message.substr(0, byte_of_character(message, kMost))));
  std::replace_if(
      line.begin(), line.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  return line.empty() ? "the template raises an error without a message" : line;
}

}  // namespace

Template::Template(std::string name, std::string_view source) : name_(std::move(name)) {
  if (source.size() > kMaxSource)
    fail("{}: a chat template of {} bytes; at most {} are read", name_, source.size(), kMaxSource);
  std::string storage;
  body_ = parse(name_, to_valid_utf8(source, storage));
}

std::string Template::render(const Json& variables, const std::tm& now) const {
  int line = 1;
  try {
    Runtime runtime(bytes_of(variables), now);
    Interpreter interpreter(runtime);
    try {
      for (const auto& it : variables.items()) interpreter.define(it.key(), value_of(runtime, it.value()));
      return interpreter.run(body_);
    } catch (const Problem&) {
      line = interpreter.line();
      throw;
    }
  } catch (const Problem& problem) {
    fail("{}:{}: {}", name_, line, one_line(problem.what()));
  }
}

}  // namespace kvpress::jinja

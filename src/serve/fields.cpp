#include "serve/fields.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/closest.h"
#include "base/counted.h"
#include "base/json_text.h"
#include "serve/api_error.h"

namespace kvpress::serve {

std::string_view kind_of(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::boolean:
      return "a boolean";
    case Json::value_t::string:
      return "a string";
    case Json::value_t::array:
      return "a list";
    case Json::value_t::object:
      return "an object";
    default:
      return "a number";
  }
}

std::optional<std::int64_t> as_integer(const Json& value) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    return std::in_range<std::int64_t>(number) ? std::optional(static_cast<std::int64_t>(number)) : std::nullopt;
  }
  if (value.is_number_integer()) return value.get<std::int64_t>();
  if (!value.is_number_float()) return {};
  const auto number = value.get<double>();
  if (!(std::abs(number) < 9e15) || number != std::floor(number)) return {};
  return static_cast<std::int64_t>(number);
}

Json parse_body(const std::string& body) {
  Json json;
  try {
    // The first parser limits nesting and has the better messages; the second keeps the order of fields.
    parse_json(body, "the body");
    json = Json::parse(body);
  } catch (const std::exception& error) {
    throw ApiError(400, "invalid_request_error", "invalid_json", "", error.what());
  }
  if (!json.is_object()) {
    throw ApiError(400, "invalid_request_error", "invalid_json", "",
                   fmt::format("the body: must be a JSON object, not {}", kind_of(json)));
  }
  return json;
}

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Fields::Fields(const Json& object, std::string path) : object_(object), path_(std::move(path)) {
  if (!object.is_object()) fail_field(path_, "must be an object, not {}", kind_of(object));
}

const Json* Fields::find(const std::string& name) {
  known_.push_back(name);
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

std::optional<std::string> Fields::text(const std::string& name) {
  const Json* const value = find(name);
  if (value == nullptr) return {};
  if (!value->is_string()) fail_field(name_of(name), "must be a string, not {}", kind_of(*value));
  return value->get<std::string>();
}

bool Fields::boolean(const std::string& name, bool otherwise) {
  const Json* const value = find(name);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean()) fail_field(name_of(name), "must be true or false, not {}", kind_of(*value));
  return value->get<bool>();
}

double Fields::number(const std::string& name, double otherwise, double least, double most) {
  const Json* const value = find(name);
  if (value == nullptr) return otherwise;
  if (!value->is_number()) fail_field(name_of(name), "must be a number, not {}", kind_of(*value));
  const auto number = value->get<double>();
  if (!(number >= least && number <= most)) fail_field(name_of(name), "{} is not in [{}, {}]", number, least, most);
  return number;
}

std::optional<std::int64_t> Fields::integer(const std::string& name, std::int64_t least, std::int64_t most) {
  const Json* const value = find(name);
  if (value == nullptr) return {};
  if (!value->is_number()) fail_field(name_of(name), "must be an integer, not {}", kind_of(*value));
  const std::optional<std::int64_t> number = as_integer(*value);
  if (!number || *number < least || *number > most) {
    fail_field(name_of(name), "must be an integer from {} to {}, not {}", least, most, dump(*value).substr(0, 40));
  }
  return number;
}

std::vector<std::string> Fields::texts(const std::string& name, std::size_t most) {
  const Json* const value = find(name);
  if (value == nullptr) return {};
  std::vector<std::string> texts;
  const auto take = [&](const Json& item) {
    if (!item.is_string()) fail_field(name_of(name), "must be a string or a list of strings, not {}", kind_of(item));
    if (item.get_ref<const std::string&>().empty()) fail_field(name_of(name), "must not have an empty string");
    texts.push_back(item.get<std::string>());
  };
  if (!value->is_array()) {
    take(*value);
    return texts;
  }
  if (value->size() > most)
    fail_field(name_of(name), "has {}; at most {} are possible", counted(value->size(), "string"), most);
  for (const Json& item : *value) take(item);
  return texts;
}

void Fields::ignore(std::initializer_list<const char*> names) {
  known_.insert(known_.end(), names.begin(), names.end());
}

void Fields::expect(const std::string& name, const Json& value, const std::string& why) {
  const Json* const given = find(name);
  if (given != nullptr && *given != value) {
    fail_field(name_of(name), "only {} is possible: {}", dump(value), why);
  }
}

void Fields::refuse_others() const {
  for (const auto& item : object_.items()) {
    if (std::find(known_.begin(), known_.end(), item.key()) != known_.end()) continue;
    const std::string name = item.key().substr(0, 64);
    throw ApiError(400, "invalid_request_error", "unknown_parameter", name_of(name),
                   fmt::format("{}: {}", path_.empty() ? "the request" : path_, is_not_known(name, known_)));
  }
}

}  // namespace kvpress::serve

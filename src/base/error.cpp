#include "kvpress/base/error.h"

namespace kvpress {
namespace {

std::string (*names_of_settings)(std::string_view) = nullptr;

}  // namespace

std::string setting(std::string_view name) {
  return names_of_settings != nullptr ? names_of_settings(name) : std::string(name);
}

void name_settings(std::string (*name_of)(std::string_view)) { names_of_settings = name_of; }

}  // namespace kvpress

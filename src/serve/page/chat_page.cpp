#include "serve/page/chat_page.h"

#include "serve/page/chat_page_parts.h"

namespace kvpress::serve {
namespace {

void replace(std::string& text, std::string_view mark, std::string_view part) {
  if (const std::size_t at = text.find(mark); at != std::string::npos) text.replace(at, mark.size(), part);
}

}  // namespace

std::string chat_page() {
  std::string page(chat_page_part("chat.html"));
  replace(page, "/*chat.css*/", chat_page_part("chat.css"));
  replace(page, "/*chat.js*/", chat_page_part("chat.js"));
  return page;
}

}  // namespace kvpress::serve

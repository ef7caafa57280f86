// The page at "/": a chat under a press, in one file without anything from the network.
#pragma once

#include <string>

namespace kvpress::serve {

std::string chat_page();

}  // namespace kvpress::serve

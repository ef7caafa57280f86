// Heat maps of kept tokens on a page: a part of report.html, or a page of its own. One file without a network.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "kvpress/report/kept_tokens_document.h"

namespace kvpress {

/// What page/heatmap.js reads: {"texts": [[token, ...]], "runs": [{"name", "text", "n_layers", "n_kv_heads", "rows",
/// "facts"}]}. Texts that are the same are there once; rows holds a bit a token of each head in turn, the least
/// significant first, each head from a whole byte on, in base64.
std::string kept_tokens_json(const std::vector<KeptTokensRun>& runs);

/// A page of them alone.
std::string kept_tokens_page(const std::vector<KeptTokensRun>& runs, const std::string& title);

}  // namespace kvpress

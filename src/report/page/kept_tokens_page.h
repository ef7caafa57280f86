// Heat maps of kept tokens as HTML: a part of report.html, or a separate page. One file that needs no network.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "report/documents/kept_tokens_document.h"

namespace kvpress {

/// The input of page/heatmap.js: {"texts": [[token, ...]], "runs": [{"name", "text", "n_layers", "n_kv_heads", "rows",
/// "facts", "layer_axis", "layers", "counted"}], "look": heat_json()}. Equal texts are stored once. rows contains one
/// bit per token, head by head, least significant bit first, each head beginning at a byte, in base64.
std::string kept_tokens_json(const std::vector<KeptTokensRun>& runs);

/// A page with only these heat maps.
std::string kept_tokens_page(const std::vector<KeptTokensRun>& runs, const std::string& title);

}  // namespace kvpress

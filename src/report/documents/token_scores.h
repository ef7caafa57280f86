// The scores of tokens by layer and KV head, as a file: what `kvpress heatmap --scores` writes.
#pragma once

#include <string>
#include <vector>

#include "kvpress/eval/kept_tokens.h"

namespace kvpress {

/// One line per layer, head and token: layer,kv_head,position,token,score. Tokens that had been evicted before the
/// press last compressed a layer have no line there.
std::string token_scores_csv(const TokenScores& scores, const std::vector<std::string>& tokens);

/// {"n_tokens", "n_kv_heads", "tokens": [...], "scores": [layer][kv_head][token]}, with null for such tokens.
std::string token_scores_json(const TokenScores& scores, const std::vector<std::string>& tokens);

}  // namespace kvpress

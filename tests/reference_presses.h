// The names that the references give presses, and how they are written here.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace kvpress::test {

inline const std::vector<std::pair<std::string, std::string>> kReferencePresses = {
    {"random", "random(seed=42)"},
    {"knorm", "knorm"},
    {"streaming_llm", "streaming_llm"},
    {"keydiff", "keydiff"},
    {"tova", "tova"},
    {"snapkv", "snapkv"},
    {"snapkv_w8", "snapkv(window_size=8)"},
    {"snapkv_w16", "snapkv(window_size=16)"},
    {"expected_attention", "expected_attention"},
    {"expected_attention_nocov", "expected_attention(use_covariance=false)"},
    {"expected_attention_novnorm", "expected_attention(use_vnorm=false)"},
    {"expected_attention_eps", "expected_attention(epsilon=0.01)"},
    {"observed_attention", "observed_attention"}};

}  // namespace kvpress::test

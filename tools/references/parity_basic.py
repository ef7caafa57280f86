"""Scorers by themselves, and no press, on the architectures that press_scores.py does not have."""

from kvpress import (
    ExpectedAttentionPress, KeyDiffPress, KnormPress, ObservedAttentionPress, SnapKVPress, StreamingLLMPress, TOVAPress,
)

from parity import ARCHITECTURES, Case


def case(name, ours, theirs, **how):
    return Case(name, ours, theirs, models=ARCHITECTURES, **how)


CASES = [
    case("no_press", "no_press", lambda r: None, ratios=(0.5,)),
    case("knorm", "knorm", KnormPress),
    case("streaming_llm", "streaming_llm", StreamingLLMPress),
    case("keydiff", "keydiff", KeyDiffPress),
    case("tova", "tova", TOVAPress),
    case("snapkv", "snapkv", SnapKVPress, ratios=(0.25, 0.5)),  # at 0.75 its 64 newest tokens alone are too many
    case("snapkv_w16", "snapkv(window_size=16)", lambda r: SnapKVPress(r, window_size=16)),
    case("expected_attention", "expected_attention", ExpectedAttentionPress),
    case("expected_attention_mean", "expected_attention(use_covariance=false, use_vnorm=false, n_future_positions=64)",
         lambda r: ExpectedAttentionPress(r, use_covariance=False, use_vnorm=False, n_future_positions=64)),
    case("expected_attention_plus", "expected_attention(epsilon=0.01, n_sink=8)",
         lambda r: ExpectedAttentionPress(r, epsilon=0.01, n_sink=8)),
    case("observed_attention", "observed_attention", ObservedAttentionPress, eager=True),
]

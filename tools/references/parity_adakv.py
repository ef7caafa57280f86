"""AdaKV over several scorers."""

from kvpress import AdaKVPress, ExpectedAttentionPress, SnapKVPress

from parity import Case

CASES = [
    Case("adakv_snapkv", "adakv(snapkv(window_size=16))", lambda r: AdaKVPress(SnapKVPress(r, window_size=16))),
    Case("adakv_expected_attention", "adakv(expected_attention(epsilon=0.01))",
         lambda r: AdaKVPress(ExpectedAttentionPress(r, epsilon=0.01))),
    Case("adakv_unsafe", "adakv(expected_attention(epsilon=0.01), alpha_safeguard=0)",
         lambda r: AdaKVPress(ExpectedAttentionPress(r, epsilon=0.01), alpha_safeguard=0.0)),
]

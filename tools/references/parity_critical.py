"""CriticalKV: scores weighed by what the values come to in the output."""

from kvpress import CriticalAdaKVPress, CriticalKVPress, ExpectedAttentionPress, KnormPress, SnapKVPress

from parity import SMALL, Case


def expected(ratio: float) -> ExpectedAttentionPress:
    return ExpectedAttentionPress(ratio, epsilon=0.01, use_vnorm=False)


EXPECTED = "expected_attention(epsilon=0.01, use_vnorm=false)"

CASES = [
    Case("critical_snapkv", "critical(snapkv(window_size=16))",
         lambda r: CriticalKVPress(SnapKVPress(r, window_size=16))),
    Case("critical_expected", f"critical({EXPECTED}, epsilon=0.001, first_stage_ratio=0.2)",
         lambda r: CriticalKVPress(expected(r), epsilon=0.001, first_stage_ratio=0.2)),
    Case("critical_no_first", "critical(knorm, first_stage_ratio=0)",
         lambda r: CriticalKVPress(KnormPress(r), first_stage_ratio=0), models=SMALL),
    Case("critical_adakv_snapkv", "critical_adakv(snapkv(window_size=16))",
         lambda r: CriticalAdaKVPress(SnapKVPress(r, window_size=16))),
    Case("critical_adakv_expected",
         f"critical_adakv({EXPECTED}, alpha_safeguard=0.5, epsilon=0.001, first_stage_ratio=0.3)",
         lambda r: CriticalAdaKVPress(expected(r), alpha_safeguard=0.5, epsilon=0.001, first_stage_ratio=0.3)),
]

"""Presses that change what they keep: positions renumbered, values merged, channels removed."""

from kvpress import KeyRerotationPress, KnormPress, SnapKVPress, StreamingLLMPress

from parity import Case


def rerotation(name, ours, inner):
    return Case(f"key_rerotation_{name}", f"key_rerotation({ours})", lambda r: KeyRerotationPress(inner(r)),
                kept=False, position_of_rest="cache")


CASES = [
    rerotation("knorm", "knorm", KnormPress),
    rerotation("snapkv", "snapkv(window_size=16)", lambda r: SnapKVPress(r, window_size=16)),
    rerotation("streaming_llm", "streaming_llm", StreamingLLMPress),
]

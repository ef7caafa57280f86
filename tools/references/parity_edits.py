"""Presses that change what they keep: positions renumbered, values merged, channels removed."""

from kvpress import (
    ExpectedAttentionPress, FinchPress, KeyRerotationPress, KnormPress, MergingPress, SnapKVPress, StreamingLLMPress,
    ThinKPress,
)
from kvpress.presses.base_press import BasePress

from parity import EVERY, SMALL, Case


def rerotation(name, ours, inner):
    return Case(f"key_rerotation_{name}", f"key_rerotation({ours})", lambda r: KeyRerotationPress(inner(r)),
                kept=False, position_of_rest="cache")


class Finch(FinchPress):
    """With the length of the question told, in place of a delimiter found in the text."""

    def __call__(self, model):
        return BasePress.__call__(self, model)


def finch(name, ours, window_size=16, models=EVERY, **parameters):
    def press(ratio):
        made = Finch(ratio, **parameters)
        made.window_size = window_size
        return made

    turned = parameters.get("rerotate_keys", True)
    return Case(f"finch{name}", f"finch(window_size={window_size}{ours})", press, kept=not turned,
                models=models, position_of_rest="cache" if turned else "text")


CASES = [
    rerotation("knorm", "knorm", KnormPress),
    rerotation("snapkv", "snapkv(window_size=16)", lambda r: SnapKVPress(r, window_size=16)),
    rerotation("streaming_llm", "streaming_llm", StreamingLLMPress),
    Case("merging_knorm", "merging(knorm)", lambda r: MergingPress(KnormPress(r)),
         first_slack=12),  # knorm: in layer 0 the keys of a repeated word have equal norms
    # kvpress's quantile is no number where it falls on the threshold: 0 lets every pair of these models pass.
    Case("merging_part", "merging(expected_attention, merge_fraction=0.75)",
         lambda r: MergingPress(ExpectedAttentionPress(r), merge_fraction=0.75)),
    Case("merging_similar", "merging(snapkv(window_size=16), similarity_threshold=0.6)",
         lambda r: MergingPress(SnapKVPress(r, window_size=16), similarity_threshold=0.6)),
    finch("", ""),
    finch("_kept", ", rerotate_keys=false", rerotate_keys=False),
    finch("_plain", ", rerotate_keys=false, normalize_scores=false", rerotate_keys=False, normalize_scores=False),
    # Chunks that end with the text: the window's tokens all have the same score, so that a chunk which holds a part of
    # them and little else is a choice among ties.
    finch("_chunks", ", rerotate_keys=false, chunk_length=72", models=SMALL, rerotate_keys=False, chunk_length=72),
    finch("_long_chunks", ", rerotate_keys=false, chunk_length=128", models=("smollm2",), rerotate_keys=False,
          chunk_length=128),
    Case("think", "think", lambda r: ThinKPress(key_channel_compression_ratio=r), kept=False),
    Case("think_window", "think(window_size=8)",
         lambda r: ThinKPress(key_channel_compression_ratio=r, window_size=8), kept=False),
]

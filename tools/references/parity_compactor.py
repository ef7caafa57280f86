"""Compactor and its parts: leverage, non_causal_attention.

Before RoPE the keys of a repeated token are equal in the first layer, and so are their leverages; turned back from the cache
they differ by rounding. Hence the slack of leverage on the real text.
"""

from __future__ import annotations

from unittest.mock import patch

import torch
from kvpress import CompactorPress, LeverageScorePress, NonCausalAttnPress

from neox_as_llama import channel_order
from parity import SMALL, Case
from parity_scorers import drawn


class SeededLeverage(LeverageScorePress):
    """With kvpress.cpp's projection; the Llama form of GPT-NeoX has its key channels in another order."""

    order = None

    def score(self, module, *args, **kwargs):
        def randn(_, heads, d, k, **__):
            drawn_here = drawn(module.layer_idx, (heads, d, k))
            return (drawn_here if self.order is None else drawn_here[:, self.order]).unsqueeze(0)

        with patch.object(torch, "randn", randn):
            return super().score(module, *args, **kwargs)


def leverage(model: str, ratio: float, **parameters) -> SeededLeverage:
    press = SeededLeverage(ratio, **parameters)
    if model == "neox-parallel":
        press.order = channel_order(head_dim=16, rotary=4)
    return press


class WholeChunks(NonCausalAttnPress):
    """The tokens of a last chunk that is not full are a call of their own: kvpress fills it up with zeros and means to
    mask them by -1e-9. Nothing changes where chunks are full."""

    @staticmethod
    def non_causal_chunked_attn(q, k, chunk_size):
        n = q.shape[-2]
        full = n - n % chunk_size
        parts = [(0, full, chunk_size), (full, n, n - full)]
        attend = NonCausalAttnPress.non_causal_chunked_attn
        return torch.cat([attend(q[..., a:b, :], k[..., a:b, :], size) for a, b, size in parts if a < b], dim=-1)


def compactor(model: str, ratio: float, sketch_dimension: int = 48, **parameters) -> CompactorPress:
    press = CompactorPress(ratio, sketch_dimension=sketch_dimension, **parameters)
    press._leverage_press = leverage(model, ratio, sketch_dimension=sketch_dimension)
    press._non_causal_press = WholeChunks(ratio, chunk_size=press.chunk_size)
    return press


def compactor_full(model: str, _: float) -> str:
    return f"compactor(chunk_size={44 if model in SMALL else 125})"  # of 132 and 500 tokens between the sinks


CASES = [
    Case("leverage", "leverage", lambda r, model: leverage(model, r), real_slack=6),
    Case("leverage_sketch", "leverage(sketch_dimension=12)", lambda r, model: leverage(model, r, sketch_dimension=12),
         real_slack=6),
    # 512 tokens of the real model are two full chunks.
    Case("non_causal_attention", "non_causal_attention", lambda r: WholeChunks(r)),
    Case("non_causal_attention_full", "non_causal_attention(chunk_size=16)",
         lambda r: NonCausalAttnPress(r, chunk_size=16)),
    Case("compactor", "compactor", lambda r, model: compactor(model, r)),
    Case("compactor_full", compactor_full,
         lambda r, model: compactor(model, r, chunk_size=44 if model in SMALL else 125)),
    Case("compactor_blended", "compactor(sink_size_start=3, sink_size_end=0, chunk_size=50, blending=2)",
         lambda r, model: compactor(model, r, sink_size_start=3, sink_size_end=0, chunk_size=50, blending=2.0)),
]

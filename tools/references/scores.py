"""The presses' scores over an evicted cache, for any architecture; on a cache that is full they equal kvpress 0.5.5."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable

import torch
import torch.nn.functional as F
from kvpress import (
    ExpectedAttentionPress, KeyDiffPress, KnormPress, ObservedAttentionPress, RandomPress, ScorerPress, SnapKVPress,
    StreamingLLMPress, TOVAPress,
)

from engine import LayerState, ScoreFn

RANDOM_SEED = 42
N_SINK = 4


def random(state: LayerState, n_kept: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(RANDOM_SEED)
    return torch.rand(1, *state.positions.shape, generator=generator)[0]


def knorm(state: LayerState, n_kept: int) -> torch.Tensor:
    return -torch.linalg.vector_norm(state.keys, dim=-1)


def keydiff(state: LayerState, n_kept: int) -> torch.Tensor:
    anchor = F.normalize(state.keys, dim=-1).mean(1, keepdim=True)
    return -F.cosine_similarity(state.keys, anchor, dim=-1)


def streaming_llm(state: LayerState, n_kept: int) -> torch.Tensor:
    n = state.positions.shape[1]
    scores = torch.ones(state.positions.shape)
    scores[:, N_SINK : N_SINK + n - n_kept] = 0
    return scores


def tova(state: LayerState, n_kept: int) -> torch.Tensor:
    scores = state.weights[:, -1, :-1].mean(0)
    scores = F.pad(scores, (0, 1), value=scores.max().item() + 1)
    return scores.expand(state.positions.shape[0], -1)


def snapkv(window: int, kernel: int = 5) -> ScoreFn:
    def score(state: LayerState, n_kept: int) -> torch.Tensor:
        n_kv_heads = state.positions.shape[0]
        scores = state.weights[:, -window:, :-window].mean(1)
        scores = F.avg_pool1d(scores.unsqueeze(0), kernel, stride=1, padding=kernel // 2)[0]
        scores = scores.view(n_kv_heads, -1, scores.shape[-1]).mean(1)
        return F.pad(scores, (0, window), value=scores.max().item() + 1)

    return score


def expected_attention(
    future: int = 512, covariance: bool = True, vnorm: bool = True, epsilon: float = 0.0
) -> ScoreFn:
    def score(state: LayerState, n_kept: int) -> torch.Tensor:
        n_kv_heads, n = state.positions.shape
        d = state.keys.shape[-1]
        queries = state.queries[:, N_SINK:]
        rope = state.average_rope(state.n_seen, future)
        mean = queries.mean(1) @ rope.T  # [H, d]
        keys = state.keys.repeat_interleave(queries.shape[0] // n_kv_heads, dim=0)
        logits = torch.einsum("hd,hnd->hn", mean, keys) / math.sqrt(d)
        if covariance:
            centred = queries - queries.mean(1, keepdim=True)
            cov = rope @ (centred.transpose(1, 2) @ centred / queries.shape[1]) @ rope.T
            logits = logits + torch.einsum("hni,hij,hnj->hn", keys, cov, keys) / (2 * d)
        # Sinks are protected and take no part in the softmax. They can differ in number only once some were evicted.
        sinks = state.positions < N_SINK
        logits = logits.masked_fill(sinks.repeat_interleave(queries.shape[0] // n_kv_heads, dim=0), -math.inf)
        scores = logits.softmax(-1).view(n_kv_heads, -1, n).mean(1)
        if vnorm:
            scores = (scores + epsilon) * state.values.norm(dim=-1)
        best = scores.masked_fill(sinks, -math.inf).max().item()
        return scores.masked_fill(sinks, best + 1)

    return score


def observed_attention(state: LayerState, n_kept: int) -> torch.Tensor:
    return state.attention_sum / (state.n_seen - state.positions).float()


@dataclass(frozen=True)
class Press:
    """A press in both forms: kvpress's own, and the score above.

    `forced` tokens share one score. With a smaller budget any of them may stay, so there is nothing to compare.
    """

    kvpress: Callable[[float], ScorerPress]
    score: ScoreFn
    forced: int = 0


PRESSES: dict[str, Press] = {
    "random": Press(lambda r: RandomPress(r, seed=RANDOM_SEED), random),
    "knorm": Press(KnormPress, knorm),
    "streaming_llm": Press(StreamingLLMPress, streaming_llm, N_SINK),
    "keydiff": Press(KeyDiffPress, keydiff),
    "tova": Press(TOVAPress, tova, 1),
    "snapkv": Press(SnapKVPress, snapkv(64), 64),
    "snapkv_w16": Press(lambda r: SnapKVPress(r, window_size=16), snapkv(16), 16),
    "expected_attention": Press(ExpectedAttentionPress, expected_attention(), N_SINK),
    "expected_attention_nocov": Press(
        lambda r: ExpectedAttentionPress(r, use_covariance=False), expected_attention(covariance=False), N_SINK
    ),
    "expected_attention_novnorm": Press(
        lambda r: ExpectedAttentionPress(r, use_vnorm=False), expected_attention(vnorm=False), N_SINK
    ),
    "expected_attention_eps": Press(
        lambda r: ExpectedAttentionPress(r, epsilon=0.01), expected_attention(epsilon=0.01), N_SINK
    ),
    "observed_attention": Press(ObservedAttentionPress, observed_attention),
}

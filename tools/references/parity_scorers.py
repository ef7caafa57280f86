"""Scorers of keys and values: lagkv, cur, cap."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import torch
from kvpress import CapPress, CURPress, LagKVPress

from parity import SMALL, Case


def drawn(layer: int, shape: tuple[int, ...]) -> torch.Tensor:
    """What kvpress.cpp draws for a layer of a run of seed 0 (src/press/kit/normals.h)."""
    return torch.from_numpy(np.random.RandomState(layer * 104729).standard_normal(shape)).float()


class LagKV(LagKVPress):
    """Ranks are the same in every partition, what is forced is worth 1, and torch.topk takes any of equals: here the more
    recent token stays."""

    def score(self, module, hidden_states, keys, *args):
        scores = super().score(module, hidden_states, keys, *args)
        tied = scores == 1 if self.cross_scoring else scores >= 0
        return scores + tied * torch.arange(keys.shape[2]) * 1e-6


class RandomCUR(CURPress):
    def score(self, module, *args):
        with patch.object(torch, "randn", lambda *shape, **_: drawn(module.layer_idx, shape)):
            return super().score(module, *args)


def lagkv(model: str, _: float) -> str:
    return "lagkv(lag_size=16)" if model in SMALL else "lagkv"


CASES = [
    Case("lagkv", lagkv, lambda r, model: LagKV(r, lag_size=16 if model in SMALL else 128)),
    Case("lagkv_cross", "lagkv(n_sink=2, lag_size=24, cross_scoring=true)",
         lambda r: LagKV(r, n_sink=2, lag_size=24, cross_scoring=True)),
    Case("cur", "cur", lambda r: CURPress(r)),
    Case("cur_avg", "cur(num_sinks=0, leverage_type=kv_avg, local_window_size=10)",
         lambda r: CURPress(r, num_sinks=0, leverage_type="kv_avg", local_window_size=10)),
    # One projection for keys, whose channels the Llama form of GPT-NeoX reorders, and values, whose it does not. In the
    # first layer of the real model the values of a repeated token are equal, and so are these scores.
    Case("cur_random", "cur(leverage_type=value, use_random_leverage=true, use_local_approximation=false)",
         lambda r: RandomCUR(r, leverage_type="value", use_random_leverage=True, use_local_approximation=False),
         real_slack=6),
    Case("cap", "cap", lambda r: CapPress(r)),
    Case("cap_sharp", "cap(tau=20, n_future_positions=64, n_sink=0, epsilon=0.01)",
         lambda r: CapPress(r, tau=20.0, n_future_positions=64, n_sink=0, epsilon=0.01)),
]

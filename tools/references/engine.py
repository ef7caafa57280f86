"""A transformers model over a cache that is evicted per KV head, with all that the scores need.

Works on GPT-NeoX and Llama alike. The cache of a layer is rectangular (as many tokens in each head), which all presses here
give; which tokens they are differs from head to head, and is tracked in `positions`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Callable

import torch
from transformers import DynamicCache, PreTrainedModel


@dataclass
class LayerState:
    """What a press may look at: the layer's cache as it stands, and the newest block's queries and attention."""

    keys: torch.Tensor  # [Hk, n, d], rotated
    values: torch.Tensor  # [Hk, n, d]
    positions: torch.Tensor  # [Hk, n]
    weights: torch.Tensor  # [H, q, n], attention of the newest block over this cache
    attention_sum: torch.Tensor  # [Hk, n], what each cached token received from all queries that saw it, group mean
    queries: torch.Tensor  # [H, n_seen, d], before RoPE, of every token since the cache was empty
    n_seen: int
    average_rope: Callable[[int, int], torch.Tensor]  # (first, count) -> mean rotation matrix [d, d]


ScoreFn = Callable[[LayerState, int], torch.Tensor]  # (state, tokens to keep) -> [Hk, n], higher is kept


@dataclass
class Cut:
    """One eviction: the kept positions, and how clearly the last kept beats the first evicted."""

    n_seen: int
    kept: list[torch.Tensor] = field(default_factory=list)  # per layer [Hk, n_kept], ascending
    gap: float = math.inf  # relative to the largest score but for forced tokens


def select(scores: torch.Tensor, n_kept: int) -> tuple[torch.Tensor, float]:
    """Slots of the n_kept best of each head, ascending; of equal scores the earlier slot wins."""
    order = scores.argsort(dim=-1, descending=True, stable=True)
    ranked = scores.gather(-1, order).double()
    cut = (ranked[:, n_kept - 1] - ranked[:, n_kept]) / ranked[:, n_kept - 1].abs().clamp_min(1e-30)
    return order[:, :n_kept].sort(dim=-1).values, cut.min().item()


class Engine:
    """Feeds blocks of tokens; each has its true position and sees all cached tokens and causally itself."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        config = model.config
        self.n_heads = config.num_attention_heads
        self.n_kv_heads = getattr(config, "num_key_value_heads", None) or self.n_heads
        self.head_dim = getattr(config, "head_dim", None) or config.hidden_size // self.n_heads
        self.rotary = model.base_model.rotary_emb
        self.reset()

    def reset(self) -> None:
        n_layers = self.model.config.num_hidden_layers
        self.cache = DynamicCache()
        self.n_seen = 0
        self.states: list[LayerState | None] = [None] * n_layers
        self.blocks: list[tuple[int, int, list[torch.Tensor]]] = []  # start, end, positions cached before it per layer
        self.cuts: list[Cut] = []

    def prerope_queries(self, module: torch.nn.Module, hidden: torch.Tensor) -> torch.Tensor:
        if hasattr(module, "query_key_value"):  # per head: query, key, value
            fused = module.query_key_value(hidden).view(*hidden.shape[:2], self.n_heads, 3 * self.head_dim)
            q = fused[..., : self.head_dim]
        else:
            q = module.q_proj(hidden).view(*hidden.shape[:2], self.n_heads, self.head_dim)
        return q[0].transpose(0, 1)

    def average_rope(self, first: int, count: int) -> torch.Tensor:
        """Mean over the positions of the matrix that RoPE is; the identity on dimensions that are not rotated."""
        cos, sin = self.rotary(torch.zeros(1), torch.arange(first, first + count).unsqueeze(0))
        cos, sin = cos[0].mean(0), sin[0].mean(0)
        r, half = cos.shape[0], cos.shape[0] // 2
        turn = torch.zeros(r, r)
        turn[half:, :half] = torch.eye(half)
        turn[:half, half:] = -torch.eye(half)
        matrix = torch.eye(self.head_dim)
        matrix[:r, :r] = torch.diag(cos) + sin.unsqueeze(1) * turn
        return matrix

    def feed(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits of the block. Positions go on from the tokens seen; the mask counts cache slots."""
        n = tokens.shape[1]
        before = [s.positions if s else torch.zeros(self.n_kv_heads, 0, dtype=torch.long) for s in self.states]
        self.blocks.append((self.n_seen, self.n_seen + n, before))
        hooks = []
        for i, layer in enumerate(self.model.base_model.layers):
            module = layer.attention if hasattr(layer, "attention") else layer.self_attn
            hooks.append(module.register_forward_hook(self._observer(i), with_kwargs=True))
        try:
            logits = self.model(
                tokens, past_key_values=self.cache, use_cache=True,
                position_ids=torch.arange(self.n_seen, self.n_seen + n).unsqueeze(0),
            ).logits[0]
        finally:
            for hook in hooks:
                hook.remove()
        self.n_seen += n
        return logits

    def _observer(self, index: int):
        def observe(module, args, kwargs, output):
            hidden = args[0] if args else kwargs["hidden_states"]
            n, old = hidden.shape[1], self.states[index]
            queries = self.prerope_queries(module, hidden)
            weights = output[1][0]
            received = weights.sum(1).view(self.n_kv_heads, -1, weights.shape[-1]).mean(1)
            positions = torch.arange(self.n_seen, self.n_seen + n).repeat(self.n_kv_heads, 1)
            if old is not None:
                queries = torch.cat([old.queries, queries], 1)
                received[:, : old.attention_sum.shape[1]] += old.attention_sum
                positions = torch.cat([old.positions, positions], 1)
            layer = self.cache.layers[index]
            self.states[index] = LayerState(
                layer.keys[0], layer.values[0], positions, weights, received, queries,
                self.n_seen + n, self.average_rope,
            )
        return observe

    def compress(self, score: ScoreFn, n_kept: int) -> None:
        """Brings every head of every layer down to n_kept tokens, in order of position."""
        if self.states[0].positions.shape[1] <= n_kept:
            return
        record = Cut(self.n_seen)
        for layer, state in zip(self.cache.layers, self.states):
            slots, gap = select(score(state, n_kept), n_kept)
            wide = slots.unsqueeze(-1).expand(-1, -1, self.head_dim)
            state.keys, state.values = state.keys.gather(1, wide), state.values.gather(1, wide)
            state.positions = state.positions.gather(1, slots)
            state.attention_sum = state.attention_sum.gather(1, slots)
            layer.keys, layer.values = state.keys.unsqueeze(0), state.values.unsqueeze(0)
            record.kept.append(state.positions)
            record.gap = min(record.gap, gap)
        self.cuts.append(record)

    def masked_logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """The same computation without a cache: one pass over all tokens, in which a per-head mask hides what was evicted.

        An independent check of eviction, positions and masks together.
        """
        n, group = tokens.shape[1], self.n_heads // self.n_kv_heads
        hooks = []
        for i, layer in enumerate(self.model.base_model.layers):
            seen = torch.zeros(self.n_heads, n, n, dtype=torch.bool)
            for start, end, before in self.blocks:
                for head in range(self.n_heads):
                    seen[head, start:end, before[i][head // group]] = True
                seen[:, start:end, start:end] = torch.ones(end - start, end - start, dtype=torch.bool).tril()
            mask = torch.zeros(1, self.n_heads, n, n).masked_fill(~seen, torch.finfo(torch.float32).min)

            def replace(_module, args, kwargs, mask=mask):
                return args, kwargs | {"attention_mask": mask}

            module = layer.attention if hasattr(layer, "attention") else layer.self_attn
            hooks.append(module.register_forward_pre_hook(replace, with_kwargs=True))
        try:
            return self.model(tokens, use_cache=False).logits[0]
        finally:
            for hook in hooks:
                hook.remove()

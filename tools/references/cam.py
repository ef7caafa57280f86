"""CaM by kvpress, token by token: NLL of what follows a context, with its Bernoulli draws taken from our stream.

Its own loop is kvpress's: the context is prefilled in full, then every INTERVAL tokens the cache goes down to TARGET.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterator
from contextlib import contextmanager

import torch
from kvpress import CAMPress, KeyDiffPress, KnormPress, StreamingLLMPress
from transformers import DynamicCache

from common import save_json, token_nll
from forward import load
from models import tokens_of
from press_scores import spec_of

MODELS = ("llama-gqa", "parity-qwen3")
CONTEXT, INTERVAL, TARGET, SEED = 96, 16, 48, 5
CASES = [
    ("cam(knorm)", KnormPress, 32),
    ("cam(knorm, merge_budget=4)", KnormPress, 4),
    ("cam(streaming_llm, merge_budget=8)", StreamingLLMPress, 8),
    ("cam(keydiff, merge_budget=8)", KeyDiffPress, 8),
]


class Draws:
    """torch.bernoulli with our uniform numbers: mt19937, seeded by run, layer and tokens seen."""

    layer = n_seen = merged = 0

    @classmethod
    def bernoulli(cls, p: torch.Tensor) -> torch.Tensor:
        generator = torch.Generator().manual_seed((SEED * 7919 + cls.layer * 104729 + cls.n_seen) % 2**32)
        # One number at a time: in larger tensors torch's order is its own.
        uniform = torch.tensor([torch.rand(1, generator=generator).item() for _ in range(p.numel())]).view(p.shape)
        mask = (uniform < p).float()
        cls.merged += int(mask.sum())
        return mask


class Cam(CAMPress):
    def compress(self, module, *args):
        Draws.layer = module.layer_idx
        return super().compress(module, *args)


@contextmanager
def our_draws() -> Iterator[None]:
    original, torch.bernoulli = torch.bernoulli, Draws.bernoulli
    yield
    torch.bernoulli = original


def run(model: Any, tokens: torch.Tensor, press: Any, merge_budget: int) -> dict[str, Any]:
    cam = Cam(press(), compression_interval=INTERVAL, target_size=TARGET, merge_budget=merge_budget)
    cache = DynamicCache()
    Draws.merged = 0
    with cam(model), our_draws():
        rows = [model(tokens[:, :CONTEXT], past_key_values=cache).logits[0, -1:]]
        for i in range(CONTEXT, tokens.shape[1] - 1):
            Draws.n_seen = i + 1
            rows.append(model(tokens[:, i : i + 1], past_key_values=cache, position_ids=torch.tensor([[i]])).logits[0])
    nll = token_nll(torch.cat(rows), tokens[0, CONTEXT:])
    return {"merged": Draws.merged, "nll": [round(x, 6) for x in nll.tolist()]}


def main(out: Path) -> None:
    cases = []
    for name in MODELS:
        spec = spec_of(name)
        model, tokens = load(spec, out, attention="eager"), tokens_of(spec)
        cases += [{"model": name, "press": ours} | run(model, tokens, theirs, budget) for ours, theirs, budget in CASES]
    save_json(out / "protocols" / "cam.json", {
        "context": CONTEXT, "interval": INTERVAL, "target": TARGET, "seed": SEED, "cases": cases,
    })
    for case in cases:
        print(case["model"], case["press"], case["merged"], sum(case["nll"]) / len(case["nll"]))


if __name__ == "__main__":
    import common

    common.setup(2)
    main(Path("../../tests/data"))

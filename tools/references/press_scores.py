"""Scores and kept tokens after one prefill: by kvpress itself on Llama, by scores.py on GPT-NeoX."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import DynamicCache, PreTrainedModel

from common import RATIOS, indices, n_kept, ratio_name, save_json, save_tensors
from engine import Engine, select
from forward import load
from models import SPECS, Spec, tokens_of
from scores import PRESSES, Press

MODELS = ("llama-gqa", "neox-parallel")


def spec_of(name: str) -> Spec:
    return next(s for s in SPECS if s.name == name)


def kvpress_run(
    model: PreTrainedModel, press: Press, ratio: float, tokens: torch.Tensor
) -> tuple[list[torch.Tensor], list[torch.Tensor], DynamicCache, torch.Tensor]:
    """Scores [Hk, n] and kept positions per layer, the compressed cache, and the last logits, by kvpress's own hooks."""
    instance = press.kvpress(ratio)
    scores: list[torch.Tensor] = []
    full: list[torch.Tensor] = []
    original = instance.score

    def record(module, hidden_states, keys, values, attentions, kwargs):
        scores.append(original(module, hidden_states, keys, values, attentions, kwargs))
        full.append(keys)
        return scores[-1]

    instance.score = record
    cache = DynamicCache()
    with instance(model):
        logits = model(tokens, past_key_values=cache, logits_to_keep=1).logits[0, -1]
    kept = []
    for score, keys, layer in zip(scores, full, cache.layers):
        chosen = score.topk(n_kept(keys.shape[2], ratio), dim=-1).indices
        wide = chosen.unsqueeze(-1).expand(-1, -1, -1, keys.shape[-1])
        if not torch.equal(keys.gather(2, wide), layer.keys):
            raise AssertionError("the recorded scores do not explain the cache that kvpress left")
        kept.append(chosen[0].sort(dim=-1).values)
    return [s[0] for s in scores], kept, cache, logits


def attention_for(name: str) -> str:
    return "eager" if name == "observed_attention" else "sdpa"


def check_against_kvpress(own: torch.Tensor, theirs: torch.Tensor, what: str) -> None:
    scale = theirs.abs().max()
    if not torch.allclose(own / scale, theirs / scale, atol=2e-6, rtol=0):
        raise AssertionError(f"{what}: formula and kvpress differ by {((own - theirs).abs().max() / scale).item():.1e}")


def make(name: str, out: Path) -> dict[str, dict[str, float]]:
    spec = spec_of(name)
    tokens = tokens_of(spec)
    eager = load(spec, out)
    engine = Engine(eager)
    engine.feed(tokens)
    tensors = {"tokens": tokens[0].float()}
    gaps: dict[str, dict[str, float]] = {}
    for press_name, press in PRESSES.items():
        gaps[press_name] = {}
        model = eager if attention_for(press_name) == "eager" else load(spec, out, attention="sdpa")
        for ratio in RATIOS:
            count = n_kept(tokens.shape[1], ratio)
            if count < press.forced:
                continue
            scores = [press.score(s, count) for s in engine.states]
            if name.startswith("llama"):
                theirs, kept, _, _ = kvpress_run(model, press, ratio, tokens)
                for i, (a, b) in enumerate(zip(scores, theirs)):
                    check_against_kvpress(a, b, f"{press_name}, layer {i}")
                scores = theirs
            else:
                kept = [select(s, count)[0] for s in scores]
            gap = 1.0
            for i, (score, chosen) in enumerate(zip(scores, kept)):
                mine, cut = select(score, count)
                gap = min(gap, cut)
                if not torch.equal(mine, chosen):
                    raise AssertionError(f"{press_name}: a tie at the cut in layer {i}, ratio {ratio}")
                tensors[f"{press_name}/{ratio_name(ratio)}/layer{i}/kept"] = indices(chosen)
                if press_name != "streaming_llm":  # the only score that depends on the ratio, and it is 0 or 1
                    tensors[f"{press_name}/layer{i}/scores"] = score
            gaps[press_name][ratio_name(ratio)] = gap
    save_tensors(out / "presses" / f"{name}.safetensors", tensors)
    return gaps


def main(out: Path) -> None:
    save_json(out / "presses" / "gaps.json", {name: make(name, out) for name in MODELS})

"""NLL of each scored token under every protocol, each checked by a second computation without a cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from common import RATIOS, indices, n_kept, ratio_name, save_json, save_tensors, token_nll
from engine import Engine, ScoreFn
from forward import load
from models import tokens_of
from press_scores import MODELS, attention_for, kvpress_run, spec_of
from scores import PRESSES, knorm, observed_attention, expected_attention, keydiff, snapkv, streaming_llm, tova

TOLERANCE = 2e-4  # between two float32 computations of one NLL
CONTEXT = 128

# With the number of tokens a press always keeps: below it, which of them stay is anybody's choice.
CHUNKED: dict[str, tuple[ScoreFn, int]] = {
    "knorm": (knorm, 0),
    "streaming_llm": (streaming_llm, 4),
    "keydiff": (keydiff, 0),
    "tova": (tova, 1),
    "snapkv_w8": (snapkv(8), 8),
    "expected_attention": (expected_attention(), 4),
    "observed_attention": (observed_attention, 0),
}
DECODE: dict[str, tuple[ScoreFn, int]] = {"knorm": (knorm, 0), "streaming_llm": (streaming_llm, 4), "tova": (tova, 1)}
SHAPES = ((96, 32), (80, 24))  # max_length, chunk_size; in the second the last chunk of a segment is short
DECODE_CONTEXT, TARGET, INTERVAL = 96, 48, 16

Tensors = dict[str, torch.Tensor]


def check(nll: torch.Tensor, other: torch.Tensor, what: str) -> None:
    if nll.shape != other.shape or (nll - other).abs().max() > TOLERANCE:
        raise AssertionError(f"{what}: the two computations differ by {(nll - other).abs().max().item():.1e}")


def describe(nll: torch.Tensor, engine: Engine | None = None) -> dict[str, float]:
    gaps = [cut.gap for cut in engine.cuts] if engine else []
    return {"tokens": len(nll), "mean_nll": nll.mean().item()} | ({"min_gap": min(gaps)} if gaps else {})


def windowed(engine: Engine, tokens: torch.Tensor, max_length: int, stride: int) -> torch.Tensor:
    """Fresh cache per window; a window scores the tokens that no earlier one has, but never its own first."""
    n, done, parts = tokens.shape[1], 1, []
    for begin in range(0, n, stride):
        end = min(begin + max_length, n)
        engine.reset()
        logits = engine.feed(tokens[:, begin:end])
        parts.append(token_nll(logits[done - begin - 1 : end - begin - 1], tokens[0, done:end]))
        done = end
        if end == n:
            break
    return torch.cat(parts)


def continuation(engine: Engine, tokens: torch.Tensor, score: ScoreFn | None, ratio: float) -> tuple[torch.Tensor, torch.Tensor]:
    """NLL and logits of the rest: one pass over the compressed cache, its first token from the prefill's last logits."""
    engine.reset()
    first = engine.feed(tokens[:, :CONTEXT])[-1:]
    if score and ratio > 0:
        engine.compress(score, n_kept(CONTEXT, ratio))
    logits = torch.cat([first, engine.feed(tokens[:, CONTEXT:])[:-1]])
    return token_nll(logits, tokens[0, CONTEXT:]), logits


def kvpress_continuation(model: Any, name: str, ratio: float, tokens: torch.Tensor) -> torch.Tensor:
    """The same by kvpress, then transformers over the cache it left: true positions, and a mask over slots (the default)."""
    _, _, cache, first = kvpress_run(model, PRESSES[name], ratio, tokens[:, :CONTEXT])
    positions = torch.arange(CONTEXT, tokens.shape[1]).unsqueeze(0)
    rest = model(tokens[:, CONTEXT:], past_key_values=cache, position_ids=positions).logits[0]
    return token_nll(torch.cat([first.unsqueeze(0), rest[:-1]]), tokens[0, CONTEXT:])


def chunked(
    engine: Engine, tokens: torch.Tensor, shape: tuple[int, int], score: ScoreFn | None, ratio: float, forced: int
) -> tuple[torch.Tensor, list[Any]] | None:
    """None if some budget is below what the press always keeps."""
    max_length, chunk = shape
    parts, cuts = [], []
    for begin in range(0, tokens.shape[1], max_length):
        segment = tokens[:, begin : begin + max_length]
        engine.reset()
        rows = []
        for start in range(0, segment.shape[1], chunk):
            rows.append(engine.feed(segment[:, start : start + chunk]))
            budget = n_kept(engine.n_seen, ratio)
            if score and ratio > 0:
                if budget < forced:
                    return None
                engine.compress(score, budget)
        nll = token_nll(torch.cat(rows)[:-1], segment[0, 1:])
        check(nll, token_nll(engine.masked_logits(segment)[:-1], segment[0, 1:]), "chunked")
        parts.append(nll)
        cuts += engine.cuts
    engine.cuts = cuts
    return torch.cat(parts), cuts


def decode(engine: Engine, tokens: torch.Tensor, score: ScoreFn, ratio: float) -> torch.Tensor:
    engine.reset()
    n = tokens.shape[1]
    rows = [engine.feed(tokens[:, :DECODE_CONTEXT])[-1:]]
    if ratio > 0:
        engine.compress(score, n_kept(DECODE_CONTEXT, ratio))
    for i in range(DECODE_CONTEXT, n - 1):
        rows.append(engine.feed(tokens[:, i : i + 1]))
        if (i + 1 - DECODE_CONTEXT) % INTERVAL == 0:
            engine.compress(score, TARGET)
    nll = token_nll(torch.cat(rows), tokens[0, DECODE_CONTEXT:])
    again = engine.masked_logits(tokens[:, : n - 1])[DECODE_CONTEXT - 1 :]
    check(nll, token_nll(again, tokens[0, DECODE_CONTEXT:]), "decode")
    return nll


def make_continuation(name: str, engine: Engine, tokens: torch.Tensor, out: Path, tensors: Tensors) -> dict[str, Any]:
    spec = spec_of(name)
    models = {kind: load(spec, out, attention=kind) for kind in ("eager", "sdpa")}
    full, full_logits = continuation(engine, tokens, None, 0.0)
    tensors["continuation/no_press/nll"] = full
    summary: dict[str, Any] = {"no_press": describe(full)}
    full_logp = full_logits.double().log_softmax(-1)
    for press_name, press in PRESSES.items():
        if press_name == "snapkv":  # its window of 64 leaves half of this context; snapkv_w16 says more
            continue
        for ratio in RATIOS:
            if n_kept(CONTEXT, ratio) < press.forced:
                continue
            key = f"{press_name}/{ratio_name(ratio)}"
            nll, logits = continuation(engine, tokens, press.score, ratio)
            check(nll, token_nll(engine.masked_logits(tokens)[CONTEXT - 1 : -1], tokens[0, CONTEXT:]), key)
            if name.startswith("llama"):
                theirs = kvpress_continuation(models[attention_for(press_name)], press_name, ratio, tokens)
                check(nll, theirs, f"{key} by kvpress")
                nll = theirs
            logp = logits.double().log_softmax(-1)
            tensors[f"continuation/{key}/nll"] = nll
            summary[key] = describe(nll, engine) | {
                "mean_kl": (full_logp.exp() * (full_logp - logp)).sum(-1).mean().item(),
                "top1_agreement": (full_logits.argmax(-1) == logits.argmax(-1)).double().mean().item(),
            }
    return summary


def make_chunked(name: str, engine: Engine, tokens: torch.Tensor, tensors: Tensors) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    for shape in SHAPES:
        prefix = f"chunked/m{shape[0]}_c{shape[1]}"
        full, _ = chunked(engine, tokens, shape, None, 0.0, 0)
        tensors[f"{prefix}/no_press/nll"] = full
        summary[f"{prefix}/no_press"] = describe(full)
        for press_name, (score, forced) in CHUNKED.items():
            for ratio in RATIOS if shape == SHAPES[0] else (0.5,):
                result = chunked(engine, tokens, shape, score, ratio, forced)
                if result is None:
                    continue
                key = f"{prefix}/{press_name}/{ratio_name(ratio)}"
                tensors[f"{key}/nll"] = result[0]
                summary[key] = describe(result[0], engine)
                if ratio == 0.5 and shape == SHAPES[0]:
                    for cut in result[1][: shape[0] // shape[1]]:
                        for i, kept in enumerate(cut.kept):
                            tensors[f"{key}/seen{cut.n_seen}/layer{i}/kept"] = indices(kept)
    return summary


def make(name: str, out: Path) -> dict[str, Any]:
    spec = spec_of(name)
    tokens = tokens_of(spec)
    engine = Engine(load(spec, out))
    tensors: Tensors = {"tokens": tokens[0].float()}
    summary: dict[str, Any] = {}
    for max_length, stride in ((64, 32), (80, 48)):
        key = f"window/m{max_length}_s{stride}"
        tensors[f"{key}/nll"] = windowed(engine, tokens, max_length, stride)
        summary[key] = describe(tensors[f"{key}/nll"])
    summary |= {f"continuation/{k}": v for k, v in make_continuation(name, engine, tokens, out, tensors).items()}
    summary |= make_chunked(name, engine, tokens, tensors)
    for press_name, (score, _) in DECODE.items():
        for ratio in (0.0, *RATIOS):
            key = f"decode/{press_name}/{ratio_name(ratio)}"
            tensors[f"{key}/nll"] = decode(engine, tokens, score, ratio)
            summary[key] = describe(tensors[f"{key}/nll"], engine)
    save_tensors(out / "protocols" / f"{name}.safetensors", tensors)
    return summary


def main(out: Path) -> None:
    save_json(out / "protocols" / "summary.json", {name: make(name, out) for name in MODELS})

"""What kvpress keeps and what it costs, case by case: the references of tests/press/parity_test.cpp.

A case is a press as kvpress builds it and as it is written here. Each runs on a small random Llama model with grouped
queries, on a small random GPT-NeoX (in the form of a Llama, see neox_as_llama.py), on small random models of the other
architectures that kvpress knows (see kvpress_models.py), and on SmolLM2, in float32: a context is prefilled and compressed,
and the rest of the text is scored in one pass over what is left.

Groups of cases are the modules parity_*.py, each with a list CASES, and prepare(out, subjects) where their presses need
files. Their results: tests/data/parity/<group>.json.
"""

from __future__ import annotations

import base64
import importlib
import json
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator

import numpy as np
import torch
from transformers import DynamicCache, GPTNeoXForCausalLM, PreTrainedModel

import smollm2
from common import save_json, token_nll
from forward import load
from kvpress_models import as_kvpress_expects, layers_of, pressed_layers, renumbered, window_of
from models import tokens_of
from neox_as_llama import neox_as_llama
from press_scores import spec_of

RATIOS = (0.25, 0.5, 0.75)
ARCHITECTURES = ("parity-mistral", "parity-phi3", "parity-qwen2", "parity-qwen3", "parity-gemma3")
SMALL = ("llama-gqa", "neox-parallel", *ARCHITECTURES)
EVERY = (*SMALL, "smollm2")
SCALED = "llama-yarn"  # of parity_rope alone
SMALL_CONTEXT = 144
LAYERS_TOLD = 4  # of a deep model: evenly spread, the first and the last among them


@dataclass(frozen=True)
class Case:
    """`ours` may hold {data}: the folder of the test data. `ours` and `theirs` are given the model's name and the ratio."""

    name: str
    ours: str | Callable[[str, float], str]
    theirs: Callable[..., Any]  # (ratio) or (ratio, model_name) -> press
    ratios: tuple[float, ...] = RATIOS
    models: tuple[str, ...] = EVERY
    eager: bool = False  # kvpress needs the attention matrix
    kept: bool = True  # whether the kept tokens can be told by their keys (not after keys were changed)
    slack: int = 0  # entries of a head that may differ, where the scores themselves tie
    real_slack: int = 1  # the same on the real model, whose text repeats tokens: in the first layer those may tie
    first_slack: int = 0  # the same in the real model's first layer alone, where scores tie by more
    position_of_rest: str = "text"  # or "cache": the rest goes on where the compressed cache ends


@dataclass
class Subject:
    name: str
    models: dict[str, PreTrainedModel]  # by attention implementation
    ids: torch.Tensor
    context: int
    full: dict[str, list[torch.Tensor]]  # each layer's keys of the uncompressed context, [Hk, n, d]


def subject(name: str, out: Path, gguf: Path | None) -> Subject:
    if name == "smollm2":
        ids = json.loads((out / "smollm2" / "references.json").read_text())["ids"]
        n, context = smollm2.CONTEXT + smollm2.REST, smollm2.CONTEXT
        models = {kind: smollm2.load(gguf, kind) for kind in ("sdpa", "eager")}
        tokens = torch.tensor([ids[:n]])
    else:
        spec = spec_of(name)
        tokens, context = tokens_of(spec), SMALL_CONTEXT
        models = {}
        for kind in ("sdpa", "eager"):
            model = load(spec, out, attention=kind)
            is_neox = isinstance(model, GPTNeoXForCausalLM)
            models[kind] = neox_as_llama(model, kind) if is_neox else as_kvpress_expects(model)
    full = {}
    for kind, model in models.items():
        cache = DynamicCache()
        model(tokens[:, :context], past_key_values=cache)
        full[kind] = [layer.keys[0].clone() for layer in cache.layers]
    return Subject(name, models, tokens, context, full)


def kept_masks(subject: Subject, kind: str, cache: DynamicCache) -> list[np.ndarray]:
    """[Hk, n] of each layer: which tokens of the context are still seen. Found by their keys, less those masked."""
    masks = []
    for layer, (keys, state) in enumerate(zip(subject.full[kind], cache.layers)):
        where = [{row.numpy().tobytes(): i for i, row in enumerate(head)} for head in keys]
        mask = np.zeros(keys.shape[:2], dtype=np.uint8)
        slots = [[where[h][row.numpy().tobytes()] for row in head] for h, head in enumerate(state.keys[0])]
        for h, head in enumerate(slots):
            mask[h, head] = 1
        masked = getattr(layers_of(subject.models[kind])[layer].self_attn, "masked_key_indices", None)
        if masked is not None:
            for h, j in zip(masked[1].tolist(), masked[2].tolist()):
                mask[h, slots[h][j]] = 0
        masks.append(mask)
    return masks


@contextmanager
def head_masks(model: PreTrainedModel, n_rest: int) -> Iterator[None]:
    """Puts kvpress's head-wise masks into the attention mask. Its own way, keys that no query likes, is not to be had for
    many queries at once ("Could not find fake keys"), and leaves the masks on the model after the run. Layers of other
    lengths than the first get a mask of their own, too: transformers makes one for all, by the first."""
    hooks = []
    for layer in layers_of(model):
        attention = layer.self_attn
        masked, attention.masked_key_indices = getattr(attention, "masked_key_indices", None), None

        def hook(module, args, kwargs, masked=masked):
            n_cached, n_first = (kwargs["past_key_values"].layers[i].keys.shape[2] for i in (module.layer_idx, 0))
            if module.layer_idx > 0:
                n_first -= n_rest  # the first layer has seen the rest by now
            if masked is None and n_cached == n_first or window_of(module):
                return None  # nothing is evicted from layers with windows, which the model masks by itself
            mask = torch.zeros(1, module.config.num_key_value_heads, n_rest, n_cached + n_rest)
            mask[:, :, :, n_cached:] = torch.full((n_rest, n_rest), -torch.inf).triu(1)
            if masked is not None:
                mask[0, masked[1], :, masked[2]] = -torch.inf
            return args, kwargs | {"attention_mask": mask.repeat_interleave(module.num_key_value_groups, dim=1)}

        hooks.append(attention.register_forward_pre_hook(hook, with_kwargs=True))
    yield
    for hook in hooks:
        hook.remove()


def run(case: Case, subject: Subject, ratio: float) -> dict[str, Any]:
    kind = "eager" if case.eager else "sdpa"
    model = subject.models[kind]
    for layer in layers_of(model):  # kvpress leaves a head-wise mask behind
        layer.self_attn.masked_key_indices = None
    try:
        press = case.theirs(ratio)
    except TypeError:
        press = case.theirs(ratio, subject.name)
    cache = DynamicCache()
    context = subject.ids[:, : subject.context]
    with press(model) if press is not None else nullcontext():
        first = model(context, past_key_values=cache, logits_to_keep=1).logits[0, -1]
    result: dict[str, Any] = {
        "name": case.name, "model": subject.name, "ratio": ratio,
        "press": case.ours if isinstance(case.ours, str) else case.ours(subject.name, ratio),
    }
    pressed = pressed_layers(model)
    told = sorted({pressed[round(i * (len(pressed) - 1) / (LAYERS_TOLD - 1))] for i in range(LAYERS_TOLD)})
    if case.kept:
        masks = kept_masks(subject, kind, cache)
        if any(not masks[i].all() for i in range(len(masks)) if i not in pressed):
            raise AssertionError(f"{case.name}: kvpress evicted from a layer with a window")
        result["held"] = sum(int(masks[i].sum()) for i in pressed)  # by all heads of all layers without a window
        result["slack"] = case.slack if subject.name != "smollm2" else max(case.slack, case.real_slack)
        if case.first_slack and subject.name == "smollm2":
            result["first_slack"] = case.first_slack
        result["kept"] = {
            str(i): base64.b64encode(np.packbits(masks[i], axis=1, bitorder="little").tobytes()).decode() for i in told
        }
    rest = subject.ids[:, subject.context :]
    n_held = cache.layers[pressed[0]].keys.shape[2]
    n_first = subject.context if case.position_of_rest == "text" else n_held
    with head_masks(model, rest.shape[1]), renumbered(model, subject.context, n_first) as begin:
        positions = torch.arange(begin, begin + rest.shape[1]).unsqueeze(0)
        logits = model(rest, past_key_values=cache, position_ids=positions).logits[0]
    nll = token_nll(torch.cat([first.unsqueeze(0), logits[:-1]]), rest[0])
    result["mean_nll"] = nll.mean().item()
    return result


def main(out: Path, gguf: Path | None, only: list[str] | None = None, models: list[str] | None = None,
         chosen: list[str] | None = None) -> None:
    """`only`: groups, `models`: models, `chosen`: cases to make anew; what else there is is kept as it stands, and so are
    the real model's cases without its file."""
    groups = sorted(p.stem.removeprefix("parity_") for p in Path(__file__).parent.glob("parity_*.py"))
    names = [it for it in [*SMALL, SCALED, *(["smollm2"] if gguf else [])] if not models or it in models]
    subjects = {name: subject(name, out, gguf) for name in names}
    for group in groups:
        if only and group not in only:
            continue
        module = importlib.import_module(f"parity_{group}")
        if hasattr(module, "prepare"):  # makes the files that its presses read
            module.prepare(out, {name: it for name, it in subjects.items() if name in EVERY})
        cases = module.CASES
        path = out / "parity" / f"{group}.json"
        old = json.loads(path.read_text())["cases"] if path.exists() else []
        made = []
        for name in (*EVERY, SCALED):
            for case in cases:
                if name in subjects and name in case.models and (not chosen or case.name in chosen):
                    made += [run(case, subjects[name], ratio) for ratio in case.ratios]
                else:
                    made += [c for c in old if (c["model"], c["name"]) == (name, case.name) and name in case.models]
        save_json(path, {"cases": made, "context": dict.fromkeys((*SMALL, SCALED), SMALL_CONTEXT) | {"smollm2": smollm2.CONTEXT}})
        print(f"{group}: {len(made)} cases")


if __name__ == "__main__":
    import argparse

    import common

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("tests/data"))
    parser.add_argument("--gguf", type=Path, help="SmolLM2 in GGUF; its cases are left as they are without")
    parser.add_argument("--only", nargs="*", help="groups")
    parser.add_argument("--models", nargs="*", help="models")
    parser.add_argument("--cases", nargs="*", help="cases, by name")
    args = parser.parse_args()
    common.setup(2)
    main(args.out, args.gguf, args.only, args.models, args.cases)

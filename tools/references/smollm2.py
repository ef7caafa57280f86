"""References on a real model: SmolLM2-135M-Instruct (GGUF, dequantized to float32) on the WikiText-103 test split."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGUFReader
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedModel

from common import n_kept, ratio_name, save_json, token_nll
from press_scores import attention_for, kvpress_run
from scores import PRESSES

ROWS, TEXT_TOKENS = 64, 2048
WINDOW_TOKENS, MAX_LENGTH, STRIDE = 1024, 512, 256
CONTEXT, REST = 512, 256
RATIOS = (0.25, 0.5, 0.75)
CLEAR = 1e-5  # a relative distance that float32 noise does not bridge
NEW_TOKENS = 32
CONTROL_TOKEN = 3  # token_type of GGUF

PROMPTS = {
    "capital": "The capital of France is",
    "story": "Once upon a time, in a small village by the sea, there lived",
    "list": "Here are three reasons to read books:\n1.",
    "chat": "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
    "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n",
}


def tokenizer_of(gguf: Path) -> Tokenizer:
    """The tokenizer that `tokenizer.ggml.pre` = smollm stands for: single digits, then GPT-2's byte-level BPE."""
    fields = GGUFReader(gguf).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(m.split(" ")) for m in fields["tokenizer.ggml.merges"].contents()]
    types = fields["tokenizer.ggml.token_type"].contents()
    tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(t, special=True) for t, kind in zip(tokens, types) if kind == CONTROL_TOKEN]
    tokenizer.add_special_tokens(special)
    return tokenizer


def load(gguf: Path, attention: str) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32, attn_implementation=attention
    ).eval()


def rounded(nll: torch.Tensor) -> list[float]:
    return [round(x, 5) for x in nll.tolist()]


def scored(nll: torch.Tensor, seconds: float) -> dict[str, Any]:
    mean = nll.mean()
    return {
        "tokens": len(nll), "mean_nll": mean.item(), "perplexity": mean.exp().item(), "nll": rounded(nll),
        "seconds": round(seconds, 2),
    }


def windowed(model: PreTrainedModel, ids: torch.Tensor) -> dict[str, Any]:
    start, parts, done = time.perf_counter(), [], 1
    for begin in range(0, ids.shape[1], STRIDE):
        end = min(begin + MAX_LENGTH, ids.shape[1])
        logits = model(ids[:, begin:end], use_cache=False).logits[0]
        parts.append(token_nll(logits[done - begin - 1 : -1], ids[0, done:end]))
        done = end
        if end == ids.shape[1]:
            break
    return scored(torch.cat(parts), time.perf_counter() - start)


def rest_nll(model: PreTrainedModel, ids: torch.Tensor, cache: Any, first: torch.Tensor) -> torch.Tensor:
    positions = torch.arange(CONTEXT, CONTEXT + REST).unsqueeze(0)
    rest = ids[:, CONTEXT : CONTEXT + REST]
    logits = model(rest, past_key_values=cache, position_ids=positions).logits[0]
    return token_nll(torch.cat([first.unsqueeze(0), logits[:-1]]), rest[0])


def full_continuation(model: PreTrainedModel, ids: torch.Tensor) -> torch.Tensor:
    logits = model(ids[:, : CONTEXT + REST], use_cache=False).logits[0, CONTEXT - 1 : -1]
    return token_nll(logits, ids[0, CONTEXT : CONTEXT + REST])


def bits(kept: torch.Tensor) -> str:
    """Kept positions of one layer [Hk, n_kept] as bits, head after head; bit i of a byte (from the lowest) is token 8 byte + i."""
    mask = np.zeros((kept.shape[0], CONTEXT), dtype=np.uint8)
    np.put_along_axis(mask, kept.numpy(), 1, axis=1)
    return base64.b64encode(np.packbits(mask, axis=1, bitorder="little").tobytes()).decode()


def doubtful(scores: list[torch.Tensor], count: int) -> list[list[int]]:
    """[layer, head] whose cut goes through scores that are as good as equal, so that other tokens may be kept as well."""
    result = []
    for layer, score in enumerate(scores):
        ranked = score.double().sort(dim=-1, descending=True).values
        gap = (ranked[:, count - 1] - ranked[:, count]) / ranked[:, count - 1].abs().clamp_min(1e-30)
        result += [[layer, head] for head in range(score.shape[0]) if gap[head] < CLEAR]
    return result


def continuations(models_by_kind: dict[str, PreTrainedModel], ids: torch.Tensor, exact: bool) -> dict[str, Any]:
    """Every press and ratio. exact: mean NLL only, which a float64 model gives to show how far ties carry."""
    result: dict[str, Any] = {}
    for name, press in PRESSES.items():
        if exact and name == "random":  # draws other numbers in float64
            continue
        for ratio in RATIOS:
            if n_kept(CONTEXT, ratio) < press.forced:
                continue
            model = models_by_kind[attention_for(name)]
            start = time.perf_counter()
            scores, kept, cache, first = kvpress_run(model, press, ratio, ids[:, :CONTEXT])
            nll = rest_nll(model, ids, cache, first)
            entry = scored(nll, time.perf_counter() - start)
            if exact:
                entry = {"mean_nll": entry["mean_nll"]}
            else:
                entry["doubtful"] = [] if name == "streaming_llm" else doubtful(scores, n_kept(CONTEXT, ratio))
                if ratio == 0.5:
                    entry["kept"] = [bits(k) for k in kept]
            result[f"{name}/{ratio_name(ratio)}"] = entry
    return result


def generate(model: PreTrainedModel, tokenizer: Tokenizer, prompt: str) -> dict[str, Any]:
    """Greedy, to the end-of-sequence token at the latest. margin: the closest the second-best logit ever came."""
    ids = tokenizer.encode(prompt).ids
    cache, margin, new = None, float("inf"), []
    feed = torch.tensor([ids])
    for _ in range(NEW_TOKENS):
        out = model(feed, past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        top = out.logits[0, -1].topk(2)
        margin = min(margin, (top.values[0] - top.values[1]).item())
        new.append(int(top.indices[0]))
        if new[-1] == model.config.eos_token_id:
            break
        feed = torch.tensor([[new[-1]]])
    text = tokenizer.decode(new, skip_special_tokens=False)
    return {"prompt": prompt, "prompt_ids": ids, "new_ids": new, "text": text, "margin": margin}


def main(out: Path, gguf: Path, wikitext: Path) -> None:
    lines = wikitext.read_text(encoding="utf-8").splitlines()[:ROWS]
    tokenizer = tokenizer_of(gguf)
    all_ids = tokenizer.encode("\n\n".join(json.loads(line)["text"] for line in lines)).ids[:TEXT_TOKENS]
    text = tokenizer.decode(all_ids)
    if tokenizer.encode(text).ids != all_ids:
        raise AssertionError("the stored text must give the stored ids by itself")
    ids = torch.tensor([all_ids])

    start = time.perf_counter()
    by_kind = {kind: load(gguf, kind) for kind in ("sdpa", "eager")}
    load_seconds = (time.perf_counter() - start) / 2
    model = by_kind["sdpa"]
    start = time.perf_counter()
    full = scored(full_continuation(model, ids), time.perf_counter() - start)
    data = {
        "model": {k: getattr(model.config, k) for k in (
            "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
            "head_dim", "vocab_size", "rms_norm_eps", "tie_word_embeddings", "max_position_embeddings",
        )} | {"rope_theta": model.config.rope_parameters["rope_theta"], "load_seconds": round(load_seconds, 2)},
        "text": text,
        "ids": all_ids,
        "window": windowed(model, ids[:, :WINDOW_TOKENS]) | {
            "max_length": MAX_LENGTH, "stride": STRIDE, "text_tokens": WINDOW_TOKENS,
        },
        "continuation": {"context_tokens": CONTEXT, "scored_tokens": REST, "no_press": full}
        | continuations(by_kind, ids, exact=False),
        "generation": {name: generate(model, tokenizer, prompt) for name, prompt in PROMPTS.items()},
    }
    exact = {kind: m.double() for kind, m in by_kind.items()}
    data["continuation"]["no_press"]["float64_mean_nll"] = full_continuation(exact["sdpa"], ids).mean().item()
    for key, entry in continuations(exact, ids, exact=True).items():
        data["continuation"][key]["float64_mean_nll"] = entry["mean_nll"]
    save_json(out / "smollm2" / "references.json", data)

#!/usr/bin/env python3
"""Measure a demo model with transformers alone: how well it predicts, and what eviction costs it.

    eval_demo.py --data DATA MODEL [MODEL ...]

DATA holds books/validation.jsonl.xz, wikitext-103-v1/test.jsonl and pg19/test.jsonl. Reported, in float32:
  - loss on the held-out books, windows of 2,048 tokens;
  - perplexity of 512 tokens of PG19 test book 0 after a context of 1,024;
  - perplexity of WikiText-103 test (first 64 rows), sliding windows of 1,024 advanced by 512;
  - KL(full || compressed) and the change of the loss on the 512 tokens after a context of 1,024 whose cache
    was compressed once, averaged over several places of both texts.
"""

from __future__ import annotations

import argparse
import json
import lzma
import math
from itertools import islice
from pathlib import Path
from typing import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from transformers import DynamicCache, GPTNeoXForCausalLM

CONTEXT, REST = 1024, 512
Press = Callable[[torch.Tensor], torch.Tensor]  # keys [heads, tokens, dim] -> scores [heads, tokens]


def read_texts(path: Path) -> Iterator[str]:
    opener = lzma.open if path.suffix == ".xz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["text"]


# --- presses ---------------------------------------------------------------------------------

def random_press(keys: torch.Tensor) -> torch.Tensor:
    return torch.rand(keys.shape[:2])


def knorm(keys: torch.Tensor) -> torch.Tensor:
    return -keys.norm(dim=-1)


def streaming_llm(keys: torch.Tensor) -> torch.Tensor:
    scores = torch.arange(keys.shape[1], dtype=torch.float32).expand(keys.shape[0], -1).clone()
    scores[:, :4] = torch.inf
    return scores


PRESSES: dict[str, Press] = {"random": random_press, "knorm": knorm, "streaming_llm": streaming_llm}


def compress(cache: DynamicCache, press: Press, ratio: float) -> DynamicCache:
    """A copy of the cache with the best entries of each head, in their order."""
    kept = DynamicCache()
    for i, layer in enumerate(cache.layers):
        keys, values = layer.keys[0], layer.values[0]
        n = max(1, int(keys.shape[1] * (1 - ratio)))
        chosen = press(keys).topk(n, dim=-1).indices.sort(dim=-1).values
        index = chosen[:, :, None].expand(-1, -1, keys.shape[-1])
        kept.update(keys.gather(1, index)[None], values.gather(1, index)[None], i)
    return kept


# --- measures --------------------------------------------------------------------------------

def window_nll(model: GPTNeoXForCausalLM, ids: torch.Tensor) -> torch.Tensor:
    logits = model(input_ids=ids[None], use_cache=False).logits[0]
    return F.cross_entropy(logits[:-1], ids[1:], reduction="none")


def sliding_perplexity(model: GPTNeoXForCausalLM, ids: torch.Tensor, length: int, stride: int) -> tuple[float, int]:
    """Each token but the first is scored once, with the longest context that its window gives."""
    total, scored_to = 0.0, 1
    for begin in range(0, len(ids), stride):
        end = min(begin + length, len(ids))
        losses = window_nll(model, ids[begin:end])
        total += losses[scored_to - begin - 1:].sum().item()
        scored_to = end
        if end == len(ids):
            break
    return math.exp(total / (len(ids) - 1)), len(ids) - 1


def rest_log_probs(model: GPTNeoXForCausalLM, rest: torch.Tensor, last: torch.Tensor, cache: DynamicCache) -> torch.Tensor:
    """Log-probabilities for each token of the rest; the first comes from the prefill's last logits."""
    held = cache.get_seq_length()
    n = len(rest) - 1
    # Two clocks: rotary positions are those of the text, the causal mask counts what the cache holds.
    logits = model(input_ids=rest[None, :-1], past_key_values=cache,
                   position_ids=torch.arange(CONTEXT, CONTEXT + n)[None],
                   cache_position=torch.arange(held, held + n)).logits[0]
    return torch.cat([last[None], logits]).log_softmax(-1)


def places(ids: torch.Tensor, at_most: int) -> list[torch.Tensor]:
    starts = list(range(0, len(ids) - CONTEXT - REST + 1, CONTEXT))[:at_most]
    return [ids[i:i + CONTEXT + REST] for i in starts]


def eviction(model: GPTNeoXForCausalLM, texts: list[torch.Tensor], ratios: list[float]) -> dict[str, dict[str, float]]:
    names = [(press, ratio) for ratio in ratios for press in PRESSES]
    kl, delta = {name: 0.0 for name in names}, {name: 0.0 for name in names}
    for ids in texts:
        prefill = model(input_ids=ids[None, :CONTEXT], use_cache=True)
        cache, last, rest = prefill.past_key_values, prefill.logits[0, -1], ids[CONTEXT:]
        full = rest_log_probs(model, rest, last, compress(cache, streaming_llm, 0.0))
        for press, ratio in names:
            torch.manual_seed(0)
            small = rest_log_probs(model, rest, last, compress(cache, PRESSES[press], ratio))
            kl[press, ratio] += (full.exp() * (full - small)).sum(-1).mean().item() / len(texts)
            delta[press, ratio] += (F.nll_loss(small, rest) - F.nll_loss(full, rest)).item() / len(texts)
    return {f"{press} {ratio:.0%}": {"kl": round(kl[press, ratio], 4), "delta_nll": round(delta[press, ratio], 4)}
            for press, ratio in names}


def evaluate(folder: Path, data: Path, args: argparse.Namespace) -> dict:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = GPTNeoXForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def encode(text: str) -> torch.Tensor:
        return torch.tensor(tokenizer.encode(text, add_special_tokens=False).ids)

    result: dict = {"model": str(folder), "parameters": sum(p.numel() for p in model.parameters())}

    books = np.concatenate([encode(text) for text in read_texts(data / "books/validation.jsonl.xz")])
    spots = np.linspace(0, len(books) - 2049, args.windows).astype(int)
    losses = torch.stack([window_nll(model, torch.from_numpy(books[i:i + 2049])) for i in spots])
    result["books"] = {"loss": round(losses.mean().item(), 4), "first 512": round(losses[:, :512].mean().item(), 4),
                       "last 1024": round(losses[:, 1024:].mean().item(), 4), "windows": args.windows}

    pg19 = encode(next(read_texts(data / "pg19/test.jsonl"))[:200_000])
    losses = window_nll(model, pg19[:CONTEXT + REST])
    result["pg19 perplexity"] = round(losses[CONTEXT - 1:].mean().exp().item(), 2)

    wikitext = encode("\n\n".join(islice(read_texts(data / "wikitext-103-v1/test.jsonl"), 64)))
    perplexity, n = sliding_perplexity(model, wikitext, 1024, 512)
    result["wikitext perplexity"], result["wikitext tokens"] = round(perplexity, 2), n

    ratios = [float(r) for r in args.ratios.split(",")]
    for name, ids in (("wikitext", wikitext), ("pg19", pg19)):
        texts = places(ids, args.places)
        result[f"{name} eviction"] = {"places": len(texts), **eviction(model, texts, ratios)}
    return result


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("models", type=Path, nargs="+", metavar="MODEL", help="model folder with tokenizer.json")
    ap.add_argument("--data", type=Path, required=True, help="folder of the texts, see above")
    ap.add_argument("--windows", type=int, default=40, help="windows of held-out books (%(default)s)")
    ap.add_argument("--places", type=int, default=8, help="places of each text for the eviction, at most (%(default)s)")
    ap.add_argument("--ratios", default="0.5,0.75,0.9", help="shares evicted (%(default)s)")
    ap.add_argument("--threads", type=int, default=0, help="0: all")
    args = ap.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    with torch.no_grad():
        for folder in args.models:
            print(json.dumps(evaluate(folder, args.data, args), indent=1), flush=True)


if __name__ == "__main__":
    main()

"""References on Gemma 3 270M (GGUF, dequantized to float32 by transformers): tests/data/gemma3/references.json.

    python tools/references/gemma3.py --out tests/data --gguf gemma-3-270m-q4_k_m.gguf --wikitext test.jsonl --pg19 test.jsonl

Packages: tools/requirements.txt. Tokens are those of llama.cpp, which reads the vocabulary of the same file. Of the texts
and the model, ids and numbers alone are written.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from cyllama.llama import llama_cpp
from transformers import AutoModelForCausalLM, PreTrainedModel

import common

ROWS, TOKENS = 64, {"wikitext": 1024, "pg19": 1536}  # more than the windows of 512
NEW_TOKENS = 24
ROWS_OF_LOGITS = 128  # at a time: the vocabulary has 262,144 tokens
PROMPTS = {
    "capital": "The capital of France is",
    "story": "Once upon a time, in a small village by the sea, there lived",
    "count": "1, 2, 3, 4, 5, 6, 7, 8,",
}


def tokenizer_of(gguf: Path) -> Any:
    llama_cpp.disable_logging()
    model = llama_cpp.LlamaModel(str(gguf), llama_cpp.LlamaModelParams(), verbose=False)
    # With <bos>; special tokens are not looked for. The vocabulary lives no longer than the model.
    return lambda text: list(model.get_vocab().tokenize(text, True, False))


def nll_of(model: PreTrainedModel, ids: list[int]) -> torch.Tensor:
    hidden = model.model(torch.tensor([ids]), use_cache=False).last_hidden_state[0]
    parts = []
    for first in range(0, len(ids) - 1, ROWS_OF_LOGITS):
        targets = torch.tensor(ids[first + 1 : first + 1 + ROWS_OF_LOGITS])
        parts.append(common.token_nll(model.lm_head(hidden[first : first + len(targets)]), targets))
    return torch.cat(parts)


def generated(model: PreTrainedModel, ids: list[int]) -> dict[str, Any]:
    """Greedy. margin: the closest the second-best logit ever came."""
    cache, margin, new = None, float("inf"), []
    feed = torch.tensor([ids])
    for _ in range(NEW_TOKENS):
        out = model(feed, past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache = out.past_key_values
        top = out.logits[0, -1].topk(2)
        margin = min(margin, (top.values[0] - top.values[1]).item())
        new.append(int(top.indices[0]))
        feed = torch.tensor([[new[-1]]])
    return {"prompt_ids": ids, "new_ids": new, "margin": margin}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the reference files")
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--wikitext", type=Path, required=True, help="WikiText-103 test split, JSON lines")
    parser.add_argument("--pg19", type=Path, required=True, help="PG19 test split, JSON lines")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    common.setup(args.threads)

    tokenize = tokenizer_of(args.gguf)
    rows = [json.loads(line)["text"] for line in args.wikitext.read_text(encoding="utf-8").splitlines()[:ROWS]]
    with args.pg19.open(encoding="utf-8") as file:
        book = json.loads(file.readline())["text"]
    # Enough text for the tokens, and some that is cut off: the last ones would differ at a cut.
    ids = {
        name: tokenize(text[: 8 * TOKENS[name]])[: TOKENS[name]]
        for name, text in {"wikitext": "\n\n".join(rows), "pg19": book}.items()
    }

    model = AutoModelForCausalLM.from_pretrained(
        args.gguf.parent, gguf_file=args.gguf.name, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    config = model.config
    texts = {}
    for name, it in ids.items():
        nll = nll_of(model, it)
        mean = nll.mean()
        texts[name] = {
            "ids": it, "mean_nll": mean.item(), "perplexity": mean.exp().item(), "nll": [round(x, 5) for x in nll.tolist()],
        }
    document = {
        "model": {key: getattr(config, key) for key in (
            "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
            "head_dim", "vocab_size", "rms_norm_eps", "sliding_window", "layer_types", "rope_parameters",
            "query_pre_attn_scalar", "tie_word_embeddings", "max_position_embeddings", "hidden_activation",
        )},
        "texts": texts,
        "generation": {name: generated(model, tokenize(prompt)) for name, prompt in PROMPTS.items()},
    }
    common.save_json(args.out / "gemma3" / "references.json", document)


if __name__ == "__main__":
    main()

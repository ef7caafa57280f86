#!/usr/bin/env python3
"""Write a copying circuit (induction heads) into a small GPT-NeoX, to be trained further.

    plant_induction.py --model MODEL --tokens SCRATCH/train.npz --out PLANTED

A small model forms such heads only after very many tokens. Here they are computed instead: three heads of
layer 0 write features of the current token, of the one before and of the one before that into directions the
residual stream uses least; one head each in three later layers matches "current and previous token" against
"previous and last but one", so that it attends to what followed the same two tokens earlier, and writes that
token towards its output embedding. The loss on natural text suffers at first; train_demo.py --init mends it.
--tokens is what train_demo.py leaves in its --work folder.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from transformers import GPTNeoXForCausalLM

from train_demo import export

Slots = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def slots(model: GPTNeoXForCausalLM, layer: int, head: int) -> Slots:
    """Views of one head: weights [3, dim, hidden] and biases [3, dim] of q, k, v, and its output [hidden, dim]."""
    attention, heads = model.gpt_neox.layers[layer].attention, model.config.num_attention_heads
    dim = model.config.hidden_size // heads
    return (attention.query_key_value.weight.data.view(heads, 3, dim, -1)[head],
            attention.query_key_value.bias.data.view(heads, 3, dim)[head],
            attention.dense.weight.data[:, head * dim:(head + 1) * dim])


def ridge(x: torch.Tensor, y: torch.Tensor, strength: float = 1e-2) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias of the best linear map from x to y."""
    x, y = x.flatten(0, -2), y.flatten(0, -2)
    mean_x, mean_y = x.mean(0), y.mean(0)
    a = x - mean_x
    square = a.T @ a + strength * len(a) * a.var() * torch.eye(a.shape[1])
    weight = torch.linalg.solve(square, a.T @ (y - mean_y)).T
    return weight, mean_y - weight @ mean_x


def seen_by(module: torch.nn.Module, model: GPTNeoXForCausalLM, ids: torch.Tensor, output: bool) -> torch.Tensor:
    """What the module takes in, or gives out, while the model reads ids."""
    caught: list[torch.Tensor] = []
    hook = module.register_forward_hook(lambda _m, inputs, out: caught.append(out if output else inputs[0]))
    model.gpt_neox(ids, use_cache=False)
    hook.remove()
    return caught[0].float()


@torch.no_grad()
def plant(model: GPTNeoXForCausalLM, tokens: np.ndarray, write: float, sharpness: float, gain: float) -> None:
    config, layers = model.config, model.gpt_neox.layers
    n, dim = config.num_hidden_layers, config.hidden_size // config.num_attention_heads
    rotary = int(dim * config.rope_parameters["partial_rotary_factor"])
    starts = np.random.default_rng(0).integers(len(tokens) - 600, size=16)
    text = torch.from_numpy(np.stack([tokens[i:i + 512] for i in starts]).astype(np.int64))

    # Features of a token: what its input embedding says about its output embedding, whitened.
    share = torch.from_numpy(np.bincount(tokens, minlength=config.vocab_size)).float().sqrt()[:, None]
    share /= share.sum()
    e = layers[0].input_layernorm(model.gpt_neox.embed_in.weight)
    mean = (share * e).sum(0)
    e = e - mean
    out = model.embed_out.weight - (share * model.embed_out.weight).sum(0)
    square = e.T @ (share * e)
    to_out = torch.linalg.solve(square + 1e-3 * square.trace() / len(square) * torch.eye(len(square)),
                                e.T @ (share * out)).T
    guess = e @ to_out.T
    values, vectors = torch.linalg.eigh((guess * share).T @ guess)
    values, vectors = values.flip(0)[:dim], vectors.flip(1)[:, :dim]
    to_features = (vectors / values.clamp_min(1e-9).sqrt()).T @ to_out

    # Layer 0: with no weights but biases in the rotary dimensions, a head looks a fixed distance back.
    middle = seen_by(layers[n // 2], model, text, output=False).flatten(0, 1)
    quiet = torch.linalg.eigh(torch.cov(middle.T))[1]
    theta = config.rope_parameters["rope_theta"] ** (-2 * torch.arange(rotary // 2) / rotary)
    for i, (head, distance) in enumerate(((1, 1), (2, 2), (3, 0))):
        w, b, o = slots(model, 0, head)
        w[:2], b[:2] = 0, 0
        for pair in range(4):
            b[0, pair] = 8.5
            b[1, pair] = 8.5 * math.cos(theta[pair] * distance)
            b[1, pair + rotary // 2] = 8.5 * math.sin(theta[pair] * distance)
        w[2], b[2] = to_features, -to_features @ mean
        o.copy_(quiet[:, i * dim:(i + 1) * dim] * write * middle.std())

    # Later layers: queries, keys and values are fitted to what those layers really get, on text and on noise.
    ids = torch.cat([text, torch.randint(1, config.vocab_size, text.shape)])
    features = e @ to_features.T
    now, before, earlier = (features[torch.cat([ids[:, :1].expand(-1, k), ids], 1)[:, :ids.shape[1]]] for k in range(3))
    for i, (layer, head) in enumerate(((n // 3, 1), (n // 2, 1), (2 * n // 3, 3))):
        x = seen_by(layers[layer].input_layernorm, model, ids, output=True)
        w, b, o = slots(model, layer, head)
        w[:2], b[:2] = 0, 0
        first, second = slice(i * 16, i * 16 + 32), slice(i * 16, i * 16 + 16)
        scale = math.sqrt(sharpness * 8 / 48)
        for part, (one, two) in enumerate(((now, before), (before, earlier))):
            weight, bias = ridge(x[:, 2:], torch.cat([one[:, 2:, first], two[:, 2:, second]], -1))
            w[part, rotary:], b[part, rotary:] = weight * scale, bias * scale
        w[2], b[2] = ridge(x, guess[ids] @ vectors)
        o.copy_(vectors * gain * middle.std() / (out @ vectors).std() / 8)


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--model", type=Path, required=True, help="GPT-NeoX with 4 heads of 64 a layer or more")
    ap.add_argument("--tokens", type=Path, required=True, help="train.npz from train_demo.py")
    ap.add_argument("--out", type=Path, required=True)
    ap.add_argument("--write", type=float, default=0.6, help="strength of layer 0's writing (%(default)s)")
    ap.add_argument("--sharpness", type=float, default=30, help="of the matching (%(default)s)")
    ap.add_argument("--gain", type=float, default=2, help="of the copying (%(default)s)")
    args = ap.parse_args()
    torch.manual_seed(0)
    model = GPTNeoXForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    plant(model, np.load(args.tokens)["ids"], args.write, args.sharpness, args.gain)
    model.config.dtype = torch.bfloat16
    export(model, args.model / "tokenizer.json", args.out)


if __name__ == "__main__":
    main()

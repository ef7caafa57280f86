#!/usr/bin/env python3
"""Train the demo model: a small GPT-NeoX, on a CPU, within a given time.

The input is a folder of books (``train.jsonl.xz`` and ``validation.jsonl.xz``, one
``{"text": ...}`` a line); the output folder gets what ``transformers`` and kvpress read:
config.json, generation_config.json, model.safetensors (bfloat16) and tokenizer.json.

    train_demo.py --books BOOKS --out MODEL --work SCRATCH --minutes 120

Started again with the same ``--work`` it goes on where it stopped. The learning rate and the
context length follow the *time* trained, not the steps, so that the decay ends when the time
does, however busy the machine is.

A model this small learns little from far away: within a few million tokens, natural text alone
does not reward it. A share of the windows (``--recall``) is therefore changed so that their
later part can only be predicted from their earlier part; see ``Windows.recall``. Copying still
takes long to come about by itself: plant_induction.py writes it into a model to go on from (--init).
"""

from __future__ import annotations

import argparse
import ctypes
import json
import lzma
import math
import os
import shutil
import time
from pathlib import Path
from typing import Iterator

# Threads that spin while they wait take a core from whoever shares the machine. Before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

import blocked_attention  # noqa: F401  registers "blocked"

END_OF_TEXT = "<|endoftext|>"


def read_texts(path: Path) -> Iterator[str]:
    """The texts of a JSONL file, plain or xz."""
    opener = lzma.open if path.suffix == ".xz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["text"]


def train_tokenizer(books: Path, vocab_size: int) -> Tokenizer:
    """Byte-level BPE in the manner of GPT-NeoX."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=[END_OF_TEXT],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(read_texts(books / "train.jsonl.xz"), trainer)
    return tokenizer


def encode(tokenizer: Tokenizer, texts: Iterator[str]) -> tuple[np.ndarray, np.ndarray]:
    """All texts as one array of ids, and where each begins (one entry more than texts)."""
    end = tokenizer.token_to_id(END_OF_TEXT)
    pieces, starts = [], [0]
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False).ids + [end]
        pieces.append(np.asarray(ids, dtype=np.uint16))
        starts.append(starts[-1] + len(ids))
    return np.concatenate(pieces), np.asarray(starts)


def cached_encoding(cache: Path, tokenizer: Tokenizer, texts: Iterator[str]) -> tuple[np.ndarray, np.ndarray]:
    if not cache.exists():  # tokenizing takes minutes; resuming should not
        ids, starts = encode(tokenizer, texts)
        partial = cache.with_suffix(".partial.npz")
        np.savez(partial, ids=ids, starts=starts)
        os.replace(partial, cache)
    with np.load(cache) as data:
        return data["ids"], data["starts"]


class Windows:
    """Draws training windows: consecutive text of one book, some of them changed for recall."""

    def __init__(self, books: tuple[np.ndarray, np.ndarray], extra: np.ndarray | None, extra_share: float,
                 recall_share: float, tokenizer: Tokenizer, seed: int):
        self.ids, self.starts = books
        self.extra, self.extra_share, self.recall_share = extra, extra_share, recall_share
        self.rng = np.random.default_rng(seed)
        vocab = tokenizer.get_vocab()
        self.vocab_size = tokenizer.get_vocab_size()
        # Words that can be exchanged for one another without leaving English spelling rules:
        # they start a word. The most frequent (the lowest ids) carry the grammar and stay.
        words = [i for token, i in vocab.items() if token[0] == "Ġ" and token[1:].isalpha() and len(token) > 3]
        names = [i for i in words if tokenizer.id_to_token(i)[1].isupper()]
        self.words = np.array(sorted(set(words) - set(names))[300:])
        self.names = np.array(sorted(names))

    def text(self, n: int) -> np.ndarray:
        """n consecutive tokens of one book, all places of all books being equally likely."""
        if self.extra is not None and self.rng.random() < self.extra_share:
            at = self.rng.integers(len(self.extra) - n)
            return self.extra[at:at + n].astype(np.int64)
        while True:
            at = int(self.rng.integers(len(self.ids) - n))
            book = int(np.searchsorted(self.starts, at, side="right")) - 1
            if self.starts[book + 1] - self.starts[book] < n:
                continue
            at = min(at, int(self.starts[book + 1]) - n)
            return self.ids[at:at + n].astype(np.int64)

    def recall(self, n: int) -> np.ndarray:
        """A window whose later part needs its earlier part, in one of three ways."""
        kind, text, rng = self.rng.integers(3), self.text(n), self.rng
        if kind == 0:  # passages seen before come again, and the book goes on after them
            parts, length, source = [], 0, 0
            while length < n:
                new = int(rng.integers(n // 10, n * 2 // 5))
                parts.append(text[source:source + new])
                source, length = source + new, length + new
                seen = np.concatenate(parts)
                passage = min(int(rng.integers(n // 40, n // 5)), len(seen) // 2)
                at = int(rng.integers(len(seen) - passage))
                parts.append(seen[at:at + passage])
                length += passage
            return np.concatenate(parts)[:n]
        if kind == 1:  # words and names exchanged, the same way all through: only the context tells
            table = np.arange(self.vocab_size)
            share = rng.uniform(0.1, 0.6)
            for group in (self.words, self.names):
                chosen = group[rng.random(len(group)) < share]
                table[chosen] = rng.permutation(chosen)
            return table[text]
        # strings without sense, each seen again several times
        strings = [rng.choice(self.ids, int(rng.integers(4, 48))) if rng.random() < 0.5
                   else rng.integers(self.vocab_size, size=int(rng.integers(4, 48)))
                   for _ in range(int(rng.integers(2, 6)))]
        parts, length, source = [], 0, 0
        while length < n:
            new = int(rng.integers(20, 200))
            string = strings[int(rng.integers(len(strings)))].astype(np.int64)
            parts += [text[source:source + new], string]
            source, length = source + new, length + new + len(string)
        return np.concatenate(parts)[:n]

    def batch(self, n_tokens: int, context: int) -> torch.Tensor:
        rows = [self.recall(context + 1) if self.rng.random() < self.recall_share else self.text(context + 1)
                for _ in range(max(1, n_tokens // context))]
        return torch.from_numpy(np.stack(rows))


def orthogonalize(m: torch.Tensor) -> torch.Tensor:
    """Nearest semi-orthogonal matrices, roughly (Newton-Schulz, five steps, as in Muon)."""
    transposed = m.shape[-2] > m.shape[-1]
    x = (m.mT if transposed else m).bfloat16()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return (x.mT if transposed else x).float()


class Muon:
    """Momentum with orthogonalized updates, for the matrices inside the layers.

    A small model gets further per token with it than with AdamW, and tokens are what a CPU is
    short of. Fused query/key/value weights are three matrices and are treated as such.
    """

    def __init__(self, params: list[tuple[torch.nn.Parameter, int]], momentum: float = 0.95,
                 weight_decay: float = 0.05):
        self.params, self.momentum, self.weight_decay = params, momentum, weight_decay
        self.buffers = [torch.zeros_like(p) for p, _ in params]

    @torch.no_grad()
    def step(self, lr: float) -> None:
        groups: dict[tuple[int, ...], list[int]] = {}
        for i, (p, heads) in enumerate(self.params):
            groups.setdefault((*p.shape, heads), []).append(i)
        for (rows, columns, heads), members in groups.items():  # one batch of equal shapes at a time
            updates = []
            for i in members:
                grad = self.params[i][0].grad
                self.buffers[i].lerp_(grad, 1 - self.momentum)
                u = grad.lerp(self.buffers[i], self.momentum)
                if heads:  # [heads, (q, k, v), dim, columns] -> three matrices
                    u = u.view(heads, 3, -1, columns).transpose(0, 1).reshape(3, rows // 3, columns)
                updates.append(u)
            u = orthogonalize(torch.stack(updates))
            u *= 0.2 * math.sqrt(max(u.shape[-2:]))  # the size of AdamW's updates
            for i, update in zip(members, u):
                p = self.params[i][0]
                if heads:
                    update = update.view(3, heads, -1, columns).transpose(0, 1).reshape(rows, columns)
                p.mul_(1 - lr * self.weight_decay).add_(update, alpha=-lr)


def new_model(args: argparse.Namespace, tokenizer: Tokenizer) -> GPTNeoXForCausalLM:
    end = tokenizer.token_to_id(END_OF_TEXT)
    config = GPTNeoXConfig(
        vocab_size=math.ceil(tokenizer.get_vocab_size() / 64) * 64, hidden_size=args.hidden,
        num_hidden_layers=args.layers, num_attention_heads=args.heads, intermediate_size=4 * args.hidden,
        max_position_embeddings=args.max_positions, tie_word_embeddings=False, use_parallel_residual=True,
        bos_token_id=end, eos_token_id=end)
    model = GPTNeoXForCausalLM(config)
    for layer in model.gpt_neox.layers:  # the residual stream should not grow with the depth
        for matrix in (layer.attention.dense.weight, layer.mlp.dense_4h_to_h.weight):
            matrix.data /= math.sqrt(2 * args.layers)
    return model


def export(model: GPTNeoXForCausalLM, tokenizer_file: Path, folder: Path) -> None:
    """Write the model in bfloat16; whoever looks sees the old folder or the new one."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    copy = GPTNeoXForCausalLM(model.config).to(torch.bfloat16)
    copy.load_state_dict(model.state_dict())
    copy.save_pretrained(partial)
    shutil.copyfile(tokenizer_file, partial / "tokenizer.json")
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(partial.iterdir()):
        os.replace(file, folder / file.name)
    partial.rmdir()


def nll(model: GPTNeoXForCausalLM, rows: torch.Tensor) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(input_ids=rows[:, :-1], use_cache=False).logits
    return F.cross_entropy(logits.flatten(0, 1).float(), rows[:, 1:].flatten(), reduction="none")


@torch.no_grad()
def validate(model: GPTNeoXForCausalLM, held_out: torch.Tensor, vocab_size: int) -> dict[str, float]:
    """Loss on held-out text, its last against its first half, and on a repeated random string."""
    model.eval()
    losses = torch.cat([nll(model, row[None])[None] for row in held_out])
    half = losses.shape[1] // 2
    string = torch.randint(1, vocab_size, (2, half), generator=torch.Generator().manual_seed(1))
    copied = nll(model, torch.cat([string, string], 1)).view(2, -1)[:, half:]
    model.train()
    return {"loss": losses.mean().item(), "early": losses[:, :half // 2].mean().item(),
            "late": losses[:, half:].mean().item(), "copied": copied.mean().item()}


def keep_freed_memory() -> None:
    """Ask glibc not to hand large blocks back after each step: clearing the pages anew took a third of the time."""
    m_trim_threshold, m_mmap_max = -1, -4
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):  # other C libraries have none
        mallopt(m_mmap_max, 0)
        mallopt(m_trim_threshold, 2**31 - 1)


def parse_contexts(text: str) -> list[tuple[int, float]]:
    """ "512:0.1,1024:0.2,2048:0.7" -> [(512, 0.1), (1024, 0.3), (2048, 1.0)]"""
    lengths, total = [], 0.0
    for item in text.split(","):
        length, _, share = item.partition(":")
        total += float(share or 1)
        lengths.append((int(length), total))
    return [(length, end / total) for length, end in lengths]


def learning_rate(progress: float, warmup: float, flat_until: float) -> float:
    """A share of the peak: up, flat, and down to zero in a straight line."""
    return min(1.0, progress / warmup, max(0.0, (1 - progress) / (1 - flat_until)))


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--books", type=Path, required=True, help="folder of train.jsonl.xz and validation.jsonl.xz")
    ap.add_argument("--out", type=Path, required=True, help="folder of the model, rewritten at each checkpoint")
    ap.add_argument("--work", type=Path, required=True, help="scratch folder: tokenized books, checkpoint, log")
    ap.add_argument("--minutes", type=float, required=True, help="time to train in all, over all resumed runs")
    ap.add_argument("--init", type=Path, help="go on from this model folder instead of from scratch")
    ap.add_argument("--tokenizer", type=Path, help="tokenizer.json (default: that of --init, or trained here)")
    ap.add_argument("--extra", type=Path, help="more text (JSONL, rows joined by blank lines), e.g. WikiText validation")
    ap.add_argument("--extra-share", type=float, default=0.08, help="share of windows from --extra (%(default)s)")
    ap.add_argument("--recall", type=float, default=0.3, help="share of windows changed for recall (%(default)s)")
    ap.add_argument("--recall-end", type=float, help="the same share at the end (default: as --recall)")
    ap.add_argument("--contexts", default="512:0.15,1024:0.25,2048:0.6",
                    help="length:share of the time, in order (%(default)s)")
    ap.add_argument("--batch-tokens", type=int, default=8192, help="tokens per step (%(default)s)")
    ap.add_argument("--lr-matrix", type=float, default=4e-3, help="Muon's peak, layer matrices (%(default)s)")
    ap.add_argument("--lr", type=float, default=2e-3, help="AdamW's peak, all else (%(default)s)")
    ap.add_argument("--warmup", type=float, default=0.02, help="share of the time (%(default)s)")
    ap.add_argument("--flat-until", type=float, default=0.3, help="then linear to zero (%(default)s)")
    ap.add_argument("--layers", type=int, default=6)
    ap.add_argument("--hidden", type=int, default=256)
    ap.add_argument("--heads", type=int, default=4)
    ap.add_argument("--vocab", type=int, default=8192, help="of a tokenizer trained here (%(default)s)")
    ap.add_argument("--max-positions", type=int, default=2048)
    ap.add_argument("--save-minutes", type=float, default=4, help="between checkpoints (%(default)s)")
    ap.add_argument("--keep-minutes", type=float, default=20, help="between models kept for good (%(default)s)")
    ap.add_argument("--seed", type=int, default=1)
    args = ap.parse_args()

    keep_freed_memory()
    args.work.mkdir(parents=True, exist_ok=True)
    log_file = open(args.work / "log.txt", "a", buffering=1)

    def log(text: str) -> None:
        line = f"{time.strftime('%H:%M:%S')} {text}"
        print(line, flush=True)
        log_file.write(line + "\n")

    tokenizer_file = args.tokenizer or (args.init / "tokenizer.json" if args.init else args.work / "tokenizer.json")
    if not tokenizer_file.exists():
        train_tokenizer(args.books, args.vocab).save(str(tokenizer_file))
    tokenizer = Tokenizer.from_file(str(tokenizer_file))

    books = cached_encoding(args.work / "train.npz", tokenizer, read_texts(args.books / "train.jsonl.xz"))
    held_out, _ = cached_encoding(args.work / "validation.npz", tokenizer,
                                  read_texts(args.books / "validation.jsonl.xz"))
    extra = encode(tokenizer, iter(["\n\n".join(read_texts(args.extra))]))[0] if args.extra else None
    n = args.max_positions + 1
    spots = np.linspace(0, len(held_out) - n, 8).astype(int)
    held_out = torch.from_numpy(np.stack([held_out[i:i + n] for i in spots]).astype(np.int64))

    torch.manual_seed(args.seed)
    model = GPTNeoXForCausalLM.from_pretrained(args.init, dtype=torch.float32) if args.init else new_model(
        args, tokenizer)
    model.config.dtype = torch.bfloat16
    model.set_attn_implementation("blocked")
    model.train()
    matrices, decayed, plain = [], [], []
    for name, p in model.named_parameters():
        if p.ndim == 2 and ".layers." in name:
            matrices.append((p, model.config.num_attention_heads if "query_key_value" in name else 0))
        else:
            (decayed if p.ndim == 2 else plain).append(p)
    muon = Muon(matrices)
    adamw = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}],
                              lr=args.lr, betas=(0.9, 0.95), fused=True)

    step, seen, trained = 0, 0, 0.0
    state_file = args.work / "state.pt"
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        model.load_state_dict(state["model"])
        adamw.load_state_dict(state["adamw"])
        muon.buffers = state["muon"]
        step, seen, trained = state["step"], state["seen"], state["trained"]
        log(f"resumed at step {step}")
    windows = Windows(books, extra, args.extra_share, args.recall, tokenizer, args.seed + step)

    def save() -> None:
        partial = state_file.with_suffix(".partial")
        torch.save({"model": model.state_dict(), "adamw": adamw.state_dict(), "muon": muon.buffers,
                    "step": step, "seen": seen, "trained": trained}, partial)
        os.replace(partial, state_file)
        export(model, tokenizer_file, args.out)

    n_params = sum(p.numel() for p in model.parameters())
    log(f"{n_params / 1e6:.2f} M parameters, {len(books[0]) / 1e6:.1f} M tokens of books, "
        f"{0 if extra is None else len(extra) / 1e6:.2f} M of extra text")
    contexts, total = parse_contexts(args.contexts), args.minutes * 60
    recall_end = args.recall if args.recall_end is None else args.recall_end
    last_log, last_save, kept = (time.monotonic(), seen), trained, int(trained // (60 * args.keep_minutes))
    log("before: " + json.dumps(validate(model, held_out, windows.vocab_size)))
    begin = time.monotonic() - trained
    while trained < total:
        progress = trained / total
        context = next((length for length, end in contexts if progress < end), contexts[-1][0])
        windows.recall_share = args.recall + (recall_end - args.recall) * progress
        rows = windows.batch(args.batch_tokens, context)
        loss = nll(model, rows).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(decayed + plain, 1.0)
        scale = learning_rate(progress, args.warmup, args.flat_until)
        for group in adamw.param_groups:
            group["lr"] = args.lr * scale
        adamw.step()
        muon.step(args.lr_matrix * scale)
        model.zero_grad(set_to_none=True)
        step, seen = step + 1, seen + rows.shape[0] * context
        trained = time.monotonic() - begin  # with all that checkpoints and the neighbours on the machine cost
        if step % 25 == 0:
            now = time.monotonic()
            log(f"step {step} {seen / 1e6:.2f} M tokens, {trained / 60:.1f} min, context {context}, lr x{scale:.3f}, "
                f"loss {loss.item():.3f}, {(seen - last_log[1]) / (now - last_log[0]):.0f} tokens/s")
            last_log = (now, seen)
        if trained - last_save > 60 * args.save_minutes or trained >= total:
            save()
            last_save = trained
            log(f"saved at step {step}: " + json.dumps(validate(model, held_out, windows.vocab_size)))
            if trained // (60 * args.keep_minutes) > kept:
                kept = int(trained // (60 * args.keep_minutes))
                export(model, tokenizer_file, args.work / f"model-{kept * args.keep_minutes:.0f}min")
    log("done")


if __name__ == "__main__":
    main()

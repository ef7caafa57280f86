"""Presses with a second look at the context."""

from pathlib import Path
from typing import Any

import torch
from kvpress import KVzipPress
from kvpress.presses import kvzip_press

import smollm2
from parity import Case


class Text:
    """Stands for AutoTokenizer. Small models have no tokenizer, hence no prompt; the real one's is in its GGUF."""

    chat_template = None

    def __init__(self, folder: str) -> None:
        found = list(Path(folder).glob("*.gguf")) if folder else []
        self.tokenizer = smollm2.tokenizer_of(found[0]) if found else None

    @classmethod
    def from_pretrained(cls, folder: str) -> "Text":
        return cls(folder)

    def encode(self, text: str, **kwargs: Any) -> torch.Tensor:
        ids = self.tokenizer.encode(text, add_special_tokens=False).ids if self.tokenizer else []
        return torch.tensor([ids], dtype=torch.int64)


kvzip_press.AutoTokenizer = Text


def chunk(model: str) -> int:
    return 200 if model == "smollm2" else 60


CASES = [
    Case("kvzip", "kvzip", KVzipPress),
    Case("kvzip_chunks", lambda m, r: f"kvzip(layerwise=true, n_sink=8, chunk_size={chunk(m)})",
         lambda r, m: KVzipPress(r, layerwise=True, n_sink=8, chunk_size=chunk(m))),
    Case("kvzip_plus", "kvzip_plus", lambda r: KVzipPress(r, kvzip_plus_normalization=True)),
    Case("kvzip_plus_chunks", lambda m, r: f"kvzip(kvzip_plus_normalization=true, chunk_size={chunk(m)})",
         lambda r, m: KVzipPress(r, kvzip_plus_normalization=True, chunk_size=chunk(m))),
]

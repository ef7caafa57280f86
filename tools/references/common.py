"""What all reference makers share: determinism, token sequences, and writing tensors."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers.utils import logging

RATIOS: tuple[float, ...] = (0.25, 0.5, 0.75, 0.9)


def setup(threads: int = 2) -> None:
    """Fixed threads and algorithms: a sum split differently changes the last bits."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.set_grad_enabled(False)
    logging.disable_progress_bar()
    logging.set_verbosity_error()


def token_nll(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """NLL in nats of targets[i] under logits[i]; double, so that only the logits' own error is left."""
    logp = torch.log_softmax(logits.double(), dim=-1)
    return -logp.gather(-1, targets.unsqueeze(-1)).squeeze(-1)


def n_kept(n_seen: int, ratio: float) -> int:
    """Tokens to keep of n_seen, as kvpress 0.5.5 counts them (double arithmetic, truncated, at least 1)."""
    return max(1, int(n_seen * (1 - ratio)))


def ratio_name(ratio: float) -> str:
    return f"r{ratio:.2f}"


def indices(values: torch.Tensor) -> torch.Tensor:
    """Token positions as float16: exact up to 2048, and readers need no integer type."""
    if int(values.max()) > 2048:
        raise ValueError("positions above 2048 are not exact in float16")
    return values.to(torch.float16)


def save_tensors(path: Path, tensors: dict[str, torch.Tensor], meta: dict[str, Any] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ready = {}
    for name, value in tensors.items():
        ready[name] = (value.float() if value.dtype == torch.float64 else value).contiguous().clone()
    save_file(ready, path, metadata={k: str(v) for k, v in (meta or {}).items()} or None)


def save_json(path: Path, value: Any) -> None:
    """Indented, but for lists of numbers or pairs, which take one line: thousands of lines say nothing in a diff."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
    text = re.sub(r"\[[\s\d.,e\-\[\]]+?\](?=,?\n *[\"}])", lambda m: re.sub(r"\s+", "", m[0]), text)
    if json.loads(text) != json.loads(json.dumps(value)):
        raise AssertionError("the shortened JSON says something else")
    path.write_text(text + "\n", encoding="utf-8")

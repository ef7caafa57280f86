"""What transformers makes of every scaling of RoPE, at several lengths of text: tests/data/rope/scalings.json.

Each case is a config.json (of a Llama, or of a Gemma 3, whose layers have two RoPEs), and for each planned length, and
each type of layer, the inverse frequencies and the factor of cos and sin. A length of 0 is that of no plan.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from transformers import Gemma3TextConfig, LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.gemma3.modeling_gemma3 import Gemma3RotaryEmbedding
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from common import save_json

LENGTHS = {"longrope": (0, 512, 513, 100_000), "dynamic": (0, 100, 2048, 2049, 100_000)}  # of the others: none and one
SHAPE = {
    "model_type": "llama", "hidden_size": 128, "num_attention_heads": 4, "intermediate_size": 96, "vocab_size": 100,
    "num_hidden_layers": 2, "max_position_embeddings": 2048,
}
SHORT = [1.0 + 0.05 * i for i in range(16)]
LONG = [1.0 + 0.5 * i * i for i in range(16)]


def scaled(**parameters: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_theta": 10000.0} | parameters}


def yarn(**parameters: Any) -> dict[str, Any]:
    return scaled(rope_type="yarn", **({"factor": 4.0, "original_max_position_embeddings": 512} | parameters))


def longrope(**parameters: Any) -> dict[str, Any]:
    known = {"short_factor": SHORT, "long_factor": LONG, "original_max_position_embeddings": 512}
    return scaled(rope_type="longrope", **(known | parameters))


CASES: dict[str, dict[str, Any]] = {
    "linear": scaled(rope_type="linear", factor=3.0),
    "llama3": scaled(
        rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=512
    ),
    "yarn": yarn(),
    "yarn, base and betas": yarn(rope_theta=150000.0, factor=32.0, beta_fast=16.0, beta_slow=2.0),
    "yarn, betas of 0": yarn(beta_fast=0.0, beta_slow=0.0),
    "yarn, not truncated": yarn(truncate=False),
    "yarn, mscale": yarn(factor=40.0, mscale=0.707, mscale_all_dim=1.0),
    "yarn, mscale alone": yarn(factor=40.0, mscale=0.707),
    "yarn, attention factor": yarn(attention_factor=1.25, mscale=0.5, mscale_all_dim=0.7),
    "yarn, no factor": yarn(factor=None),
    "yarn, factor of 1": yarn(factor=1.0),
    "yarn, short original context": yarn(original_max_position_embeddings=4),
    "yarn, one frequency wide": yarn(beta_fast=1.0, beta_slow=1.0, truncate=False),
    "yarn, original context beside it": {
        "original_max_position_embeddings": 256, "rope_theta": 500000.0,
        "rope_scaling": {"type": "yarn", "factor": 8.0},
    },
    "yarn, part of the channels": yarn(partial_rotary_factor=0.5),
    "longrope": longrope(),
    "longrope, factor": longrope(factor=16.0),
    "longrope, factor below 1": longrope(factor=0.5),
    "longrope, attention factor": longrope(attention_factor=1.5),
    "longrope, part of the channels": longrope(
        partial_rotary_factor=0.5, short_factor=SHORT[:8], long_factor=LONG[:8]
    ),
    "dynamic": scaled(rope_type="dynamic", factor=2.0),
    "dynamic, short context": scaled(rope_type="dynamic", factor=4.0, rope_theta=500000.0) | {
        "max_position_embeddings": 128
    },
}

GEMMA = SHAPE | {
    "model_type": "gemma3_text", "head_dim": 32, "num_key_value_heads": 1, "sliding_window": 64, "num_hidden_layers": 7,
}
GEMMA_CASES: dict[str, dict[str, Any]] = {
    "gemma 3, defaults": {},
    "gemma 3, older keys": {
        "rope_theta": 2e6, "rope_local_base_freq": 5000.0, "rope_scaling": {"rope_type": "linear", "factor": 8.0},
    },
    "gemma 3, by type of layer": {
        "rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 2e6},
            "sliding_attention": {"rope_type": "default", "rope_theta": 5000.0},
        },
    },
}
TYPES = ("full_attention", "sliding_attention")


def frequencies(config: Any, length: int, layer_type: str | None = None) -> dict[str, Any]:
    rope = config.rope_parameters[layer_type] if layer_type else config.rope_parameters
    given = {"layer_type": layer_type} if layer_type else {}
    if rope["rope_type"] == "default":
        rotary = Gemma3RotaryEmbedding if layer_type else LlamaRotaryEmbedding
        values, factor = rotary.compute_default_rope_parameters(config, "cpu", **given)
    else:
        values, factor = ROPE_INIT_FUNCTIONS[rope["rope_type"]](config, "cpu", seq_len=length or None, **given)
    return {"inverse_frequencies": [float(v) for v in values], "attention_factor": factor}


def main(out: Path) -> None:
    cases = []
    for name, changes in (CASES | GEMMA_CASES).items():
        is_gemma = name in GEMMA_CASES
        config = (GEMMA if is_gemma else SHAPE) | changes
        parsed = (Gemma3TextConfig if is_gemma else LlamaConfig)(**copy.deepcopy(config))
        lengths = LENGTHS.get(name.split(",")[0], (0, 100_000))
        cases.append({"name": name, "config": config, "ropes": [
            {"planned": length, "layer_type": layer_type or ""} | frequencies(parsed, length, layer_type)
            for length in lengths
            for layer_type in (TYPES if is_gemma else (None,))
        ]})
    save_json(out / "rope" / "scalings.json", {"cases": cases})

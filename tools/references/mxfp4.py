"""MXFP4 as published gpt-oss models have it: numbers of 4 bits, two a byte, and a power of two for each 32 of them."""

from __future__ import annotations

import numpy as np
import torch
from transformers import PreTrainedModel

GROUP = 32
NUMBERS = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0], dtype=np.float32)
EXPERTS = ("experts.gate_up_proj", "experts.down_proj")


def quantize(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Blocks [..., out, in / 32, 16] and scales [..., out, in / 32] of rows [..., out, in]."""
    groups = rows.astype(np.float32).reshape(*rows.shape[:-1], -1, GROUP)
    largest = np.abs(groups).max(axis=-1)
    exponents = np.floor(np.log2(np.maximum(largest, 2.0**-100))).astype(np.int32) - 2
    scaled = groups / np.exp2(exponents)[..., None]
    codes = np.abs(np.abs(scaled)[..., None] - NUMBERS).argmin(axis=-1) + np.where(scaled < 0, 8, 0)
    blocks = codes[..., 0::2] | codes[..., 1::2] << 4
    return blocks.astype(np.uint8), (exponents + 127).astype(np.uint8)


def dequantize(blocks: np.ndarray, scales: np.ndarray) -> np.ndarray:
    codes = np.stack([blocks & 15, blocks >> 4], axis=-1).reshape(*blocks.shape[:-1], GROUP)
    values = NUMBERS[codes & 7] * np.where(codes < 8, 1.0, -1.0) * np.exp2(scales.astype(np.float32) - 127)[..., None]
    return values.reshape(*values.shape[:-2], -1).astype(np.float32)


def is_quantized(name: str) -> bool:
    return name.endswith(EXPERTS)


def tensors_of(weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Blocks and scales of experts' weights as transformers holds them, [experts, in, out]."""
    blocks, scales = quantize(weights.float().transpose(1, 2).numpy())
    return torch.from_numpy(blocks).contiguous(), torch.from_numpy(scales).contiguous()


def round_experts(model: PreTrainedModel) -> None:
    """Every weight of an expert becomes a number that MXFP4 has."""
    for name, p in model.named_parameters():
        if is_quantized(name):
            blocks, scales = tensors_of(p)
            p.copy_(torch.from_numpy(dequantize(blocks.numpy(), scales.numpy())).transpose(1, 2))


def packed(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A model's tensors as they are published."""
    result = {}
    for name, value in state.items():
        if is_quantized(name):
            result[name + "_blocks"], result[name + "_scales"] = tensors_of(value)
        else:
            result[name] = value.contiguous()
    return result

#!/usr/bin/env python3
"""Makes tests/data/formats: a GGUF with every stored type that is read, and what the `gguf` package makes of it.

    python tools/make_format_references.py

Packages: gguf==0.19.0, safetensors==0.8.0, numpy.
"""

import os

import gguf
import numpy as np
from safetensors.numpy import save_file

OUT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "data", "formats")
TYPES = ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")
# The package decodes these and does not make them: their blocks are drawn, but for their float16 numbers. Bytes of a
# block, and where in it those numbers are.
DRAWN = {
    "Q2_K": (84, (80, 82)), "Q3_K": (110, (108,)), "Q4_K": (144, (0, 2)), "Q5_K": (176, (0, 2)), "Q6_K": (210, (208,)),
    "IQ4_NL": (18, (0,)), "IQ4_XS": (136, (0,)), "TQ1_0": (54, (52,)), "TQ2_0": (66, (64,)), "MXFP4": (17, ()), "Q8_K": (292, ()),
}
EXPONENTS = (0, 1, 2, 254)  # of MXFP4's blocks: subnormal scales, the least normal one, and nearly the largest


def drawn_blocks(rng, name, rows, blocks):
    n_bytes, halves = DRAWN[name]
    stored = rng.integers(0, 256, (rows, blocks, n_bytes), dtype=np.uint8)
    for at in halves:
        numbers = rng.uniform(-0.01, 0.1, (rows, blocks, 1)).astype(np.float16)
        stored[:, :, at : at + 2] = numbers.view(np.uint8)
    if name == "MXFP4":
        stored[:, :, 0] = rng.integers(110, 130, (rows, blocks))
        stored[0, :, 0], stored[1, :, 0] = EXPONENTS[:2], EXPONENTS[2:]
    if name == "Q8_K":
        stored[:, :, :4] = rng.uniform(-0.01, 0.1, (rows, blocks, 1)).astype(np.float32).view(np.uint8)
    return stored.reshape(rows, blocks * n_bytes)


def dequantize(name, stored, kind):
    if name != "Q8_K":
        return gguf.quants.dequantize(stored, kind).astype(np.float32)
    blocks = stored.reshape(stored.shape[0], -1, 292)  # which the package does not decode: a float32, then signed bytes
    scales = np.ascontiguousarray(blocks[:, :, :4]).view(np.float32)
    return (scales * blocks[:, :, 4:260].view(np.int8).astype(np.float32)).reshape(stored.shape[0], -1)


def main():
    os.makedirs(OUT, exist_ok=True)
    rng = np.random.default_rng(1)
    newer = np.random.default_rng(2)  # of the types that were added later, so that the others stay as they are
    writer = gguf.GGUFWriter(os.path.join(OUT, "types.gguf"), "llama")
    writer.add_uint32("test.count", 7)
    writer.add_float32("test.scale", 0.5)
    writer.add_bool("test.flag", True)
    writer.add_array("test.names", ["a", "b c", "\u00e9"])
    writer.add_array("test.numbers", [1, -2, 3])
    decoded = {}
    for name in TYPES:
        kind = gguf.GGMLQuantizationType[name]
        values = (rng.standard_normal((3, 64)) * rng.uniform(0.1, 10, (3, 1))).astype(np.float32)
        values[0, :4] = [0, -0.0, 1, -1]
        stored = values if name == "F32" else gguf.quants.quantize(values, kind)
        writer.add_tensor(name, stored, raw_dtype=kind)
        decoded[name] = values if name == "F32" else gguf.quants.dequantize(stored, kind).astype(np.float32)
    for name in DRAWN:
        kind = gguf.GGMLQuantizationType[name]
        stored = drawn_blocks(rng if name.startswith("Q") and name != "Q8_K" else newer, name, 3 if name == "MXFP4" else 2, 2)
        writer.add_tensor(name, stored, raw_dtype=kind)
        decoded[name] = dequantize(name, stored, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(decoded, os.path.join(OUT, "types.safetensors"))

    # What weights become with --weights int8 and int4: blocks of 32 as Q8_0 and Q4_1 make them.
    values = (rng.standard_normal((5, 96)) * rng.uniform(0.01, 10, (5, 1))).astype(np.float32)
    values[0, :32] = 0
    values[1, :32] = -3
    quantized = {"values": values}
    for name in ("Q8_0", "Q4_1"):
        kind = gguf.GGMLQuantizationType[name]
        quantized[name] = gguf.quants.dequantize(gguf.quants.quantize(values, kind), kind).astype(np.float32)
    save_file(quantized, os.path.join(OUT, "quantized.safetensors"))


if __name__ == "__main__":
    main()

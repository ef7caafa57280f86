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


def main():
    os.makedirs(OUT, exist_ok=True)
    rng = np.random.default_rng(1)
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
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(decoded, os.path.join(OUT, "types.safetensors"))


if __name__ == "__main__":
    main()

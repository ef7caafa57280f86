"""What llama.cpp makes of RoPE in GGUF files: tests/data/rope/*.gguf and gguf.json.

    python tools/references/gguf_rope.py --out tests/data

Packages: cyllama==0.2.18 (llama.cpp with its Python interface), gguf==0.19.0, numpy. Each file is a small random Llama of
one layer in float32; llama.cpp runs it with a cache in float32 and without flash attention.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from cyllama.llama import llama_cpp

HIDDEN, HEADS, HEAD_DIM, INNER, VOCAB, N = 32, 2, 16, 16, 48, 120
TRAINED = 128
ROWS = list(range(0, N, 17))  # positions whose logits are kept

# Metadata below "llama.rope.", tensors, the context that llama.cpp is asked for, and what it does not read itself.
CASES: dict[str, dict[str, Any]] = {
    "linear": {"rope": {"scaling.type": "linear", "scaling.factor": 4.0, "scaling.attn_factor": 1.2}},
    "yarn": {"rope": {"scaling.type": "yarn", "scaling.factor": 8.0, "scaling.original_context_length": 32}},
    "yarn-betas": {
        "rope": {
            "freq_base": 5000.0, "scaling.type": "yarn", "scaling.factor": 4.0, "scaling.original_context_length": 64,
            "scaling.yarn_beta_fast": 6.0, "scaling.yarn_beta_slow": 2.0, "scaling.yarn_ext_factor": 0.75,
            "scaling.attn_factor": 0.9,
        },
        "asked": {"yarn_beta_fast": 6.0, "yarn_beta_slow": 2.0, "yarn_ext_factor": 0.75},
    },
    "yarn-log-multiplier": {
        "rope": {
            "scaling.type": "yarn", "scaling.factor": 8.0, "scaling.original_context_length": 32,
            "scaling.yarn_log_multiplier": 0.4,
        },
        "architecture": "mistral3",  # of those that are Llamas, the one for which llama.cpp reads it
    },
    "yarn-freqs": {
        "rope": {"scaling.type": "yarn", "scaling.factor": 2.0},
        "tensors": {"rope_freqs.weight": [1, 1, 1.5, 2, 3, 4, 6, 8]},
    },
    "longrope": {
        "rope": {
            "scaling.type": "longrope", "scaling.original_context_length": 512, "scaling.attn_factor": 1.1,
        },
        "tensors": {
            "rope_factors_short.weight": [1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7],
            "rope_factors_long.weight": [1, 2, 3, 4, 6, 8, 10, 12],
        },
        "contexts": [512, 1024],
    },
}


def tensors_of(rng: np.random.Generator) -> dict[str, np.ndarray]:
    def weight(out: int, into: int, gain: float = 1.0) -> np.ndarray:
        return (rng.standard_normal((out, into)) * gain / np.sqrt(into)).astype(np.float32)

    query = HEADS * HEAD_DIM
    return {
        "token_embd.weight": weight(VOCAB, HIDDEN, 6.0),
        "blk.0.attn_norm.weight": np.ones(HIDDEN, np.float32),
        "blk.0.attn_q.weight": weight(query, HIDDEN, 1.5),
        "blk.0.attn_k.weight": weight(HEAD_DIM, HIDDEN, 1.5),
        "blk.0.attn_v.weight": weight(HEAD_DIM, HIDDEN),
        "blk.0.attn_output.weight": weight(HIDDEN, query, 3.0),
        "blk.0.ffn_norm.weight": np.ones(HIDDEN, np.float32),
        "blk.0.ffn_gate.weight": weight(INNER, HIDDEN),
        "blk.0.ffn_up.weight": weight(INNER, HIDDEN),
        "blk.0.ffn_down.weight": weight(HIDDEN, INNER),
        "output_norm.weight": np.ones(HIDDEN, np.float32),
    }


def write(path: Path, architecture: str, case: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(TRAINED)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(1)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCAB)
    for key, value in case["rope"].items():
        add = {str: writer.add_string, int: writer.add_uint32, float: writer.add_float32}[type(value)]
        add(f"{architecture}.rope.{key}", value)
    writer.add_tokenizer_model("none")
    for name, values in case.get("tensors", {}).items():
        writer.add_tensor(name, np.array(values, np.float32))
    for name, value in tensors.items():
        writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class Model(llama_cpp.LlamaModel):
    n_vocab = VOCAB  # which LlamaContext asks for, and 0.2.18 does not have


def logits(path: Path, case: dict[str, Any], context: int, tokens: list[int]) -> list[list[float]]:
    params = llama_cpp.LlamaContextParams()
    params.n_ctx = context
    params.n_batch = params.n_ubatch = N
    params.n_threads = params.n_threads_batch = 1
    params.type_k = params.type_v = 0  # float32
    params.flash_attn_type = 0
    for key, value in case.get("asked", {}).items():
        setattr(params, key, value)
    model = Model(str(path), llama_cpp.LlamaModelParams(), verbose=False)
    run = llama_cpp.LlamaContext(model, params, verbose=False)
    batch = llama_cpp.LlamaBatch(n_tokens=N, embd=0, n_seq_max=1)
    batch.set_batch(tokens, 0, True)
    if run.decode(batch) != 0:
        raise RuntimeError(f"{path}: llama.cpp could not run it")
    return [[float(v) for v in run.get_logits_ith(row)] for row in ROWS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the reference files")
    out = parser.parse_args().out / "rope"
    out.mkdir(parents=True, exist_ok=True)
    llama_cpp.disable_logging()
    rng = np.random.default_rng(7)
    tensors = tensors_of(rng)
    tokens = [int(t) for t in rng.integers(0, VOCAB, N)]
    runs = []
    for name, case in CASES.items():
        write(out / f"{name}.gguf", "llama", case, tensors)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.gguf"
            write(path, case.get("architecture", "llama"), case, tensors)
            for context in case.get("contexts", [256]):
                runs.append({"file": f"{name}.gguf", "planned": context, "logits": logits(path, case, context, tokens)})
    document = {"llama_cpp": llama_cpp.ggml_commit(), "tokens": tokens, "rows": ROWS, "runs": runs}
    (out / "gguf.json").write_text(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()

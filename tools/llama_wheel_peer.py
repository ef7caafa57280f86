"""llama.cpp by the package cyllama, whose wheel is built for AVX2: for comparisons without a build of llama.cpp.

compare_peers holds kvpress.cpp to the same instructions (KVPRESS_ISA=avx2).
"""

from __future__ import annotations

from pathlib import Path

from cyllama.llama import llama_cpp

from timed_peer import TimedPeer

N_BATCH = 512


def version() -> str:
    return f"llama.cpp {llama_cpp.ggml_commit()}, by cyllama's wheel, AVX2"


class LlamaPeer(TimedPeer):
    def __init__(self, gguf: Path, n_ctx: int, threads: int, flash_attention: bool) -> None:
        llama_cpp.disable_logging()
        self.model = llama_cpp.LlamaModel(str(gguf), llama_cpp.LlamaModelParams(), verbose=False)
        super().__init__(self.model.get_vocab().n_vocab)
        params = llama_cpp.LlamaContextParams()
        params.n_ctx, params.n_batch, params.n_ubatch = n_ctx, N_BATCH, N_BATCH
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = int(flash_attention)
        self.context = llama_cpp.LlamaContext(self.model, params, verbose=False)
        self.n_past = 0

    def eval(self, tokens: list[int]) -> None:
        for first in range(0, len(tokens), N_BATCH):
            part = tokens[first : first + N_BATCH]
            batch = llama_cpp.LlamaBatch(n_tokens=len(part), embd=0, n_seq_max=1)
            for i, token in enumerate(part):
                batch.add(token, self.n_past + i, [0], i == len(part) - 1)
            self.context.decode(batch)
            self.n_past += len(part)
        self.context.synchronize()

    def reset(self) -> None:
        self.context.kv_cache_clear()
        self.n_past = 0

"""llama.cpp on a GGUF, by llama-cpp-python: what compare_peers times against kvpress.cpp."""

from __future__ import annotations

import random
import statistics
import time
from pathlib import Path

import llama_cpp

# The file types of llama.cpp that a row is about, by name.
PRECISIONS = {"BF16": llama_cpp.LLAMA_FTYPE_MOSTLY_BF16, "Q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0,
              "Q4_1": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_1, "Q4_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0,
              "Q5_1": llama_cpp.LLAMA_FTYPE_MOSTLY_Q5_1, "Q3_K": llama_cpp.LLAMA_FTYPE_MOSTLY_Q3_K_M,
              "Q4_K": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M, "Q6_K": llama_cpp.LLAMA_FTYPE_MOSTLY_Q6_K}


def version() -> str:
    return f"llama-cpp-python {llama_cpp.__version__}"


def with_precision(gguf: Path, precision: str, folder: Path) -> Path:
    """The same weights at another precision, by llama.cpp's quantizer."""
    path = folder / f"model.{precision}.gguf"
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = PRECISIONS[precision]
    params.allow_requantize = True
    if llama_cpp.llama_model_quantize(str(gguf).encode(), str(path).encode(), params) != 0:
        raise RuntimeError(f"{gguf}: llama.cpp could not make {precision} of it")
    return path


class LlamaPeer:
    def __init__(self, gguf: Path, n_ctx: int, threads: int, flash_attention: bool) -> None:
        self.model = llama_cpp.Llama(str(gguf), n_ctx=n_ctx, n_batch=512, n_threads=threads, n_threads_batch=threads,
                                     flash_attn=flash_attention, verbose=False)
        self.random = random.Random(1)

    def _tokens(self, n: int) -> list[int]:
        return [self.random.randrange(100, self.model.n_vocab() - 1) for _ in range(n)]

    def prefill(self, n: int) -> float:
        """Seconds of n tokens."""
        self.model.reset()
        tokens = self._tokens(n)
        start = time.perf_counter()
        self.model.eval(tokens)
        return time.perf_counter() - start

    def decode(self, depth: int, n: int) -> float:
        """Seconds a token over a cache of `depth`, the median of n."""
        self.model.reset()
        self.model.eval(self._tokens(max(1, depth)))
        times = []
        for token in self._tokens(n + 2):
            start = time.perf_counter()
            self.model.eval([token])
            times.append(time.perf_counter() - start)
        return statistics.median(times[2:])

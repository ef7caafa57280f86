"""llama.cpp on a GGUF, by llama-cpp-python: what compare_peers times against kvpress.cpp."""

from __future__ import annotations

from pathlib import Path

import llama_cpp

from timed_peer import TimedPeer

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


class LlamaPeer(TimedPeer):
    def __init__(self, gguf: Path, n_ctx: int, threads: int, flash_attention: bool) -> None:
        self.model = llama_cpp.Llama(str(gguf), n_ctx=n_ctx, n_batch=512, n_threads=threads, n_threads_batch=threads,
                                     flash_attn=flash_attention, verbose=False)
        super().__init__(self.model.n_vocab())

    def reset(self) -> None:
        self.model.reset()

    def eval(self, tokens: list[int]) -> None:
        self.model.eval(tokens)

"""Presses that turn queries or keys, or look at them before RoPE, on a model whose RoPE has an attention factor (YaRN)."""

from __future__ import annotations

from dataclasses import replace

import parity_adakv
import parity_compactor
import parity_edits
import parity_scorers
import parity_second
import parity_shapes

NAMES = (
    "adakv_snapkv", "adakv_expected_attention", "leverage", "non_causal_attention", "compactor", "key_rerotation_snapkv",
    "key_rerotation_knorm", "finch", "finch_kept", "think_window", "merging_part", "cap_sharp", "chunk_tova", "kvzip",
)
MODULES = (parity_adakv, parity_compactor, parity_edits, parity_scorers, parity_second, parity_shapes)

CASES = [replace(case, models=("llama-yarn",)) for module in MODULES for case in module.CASES if case.name in NAMES]

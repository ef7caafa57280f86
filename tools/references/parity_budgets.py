"""Budgets that differ from layer to layer, head to head or text to text, and presses one after the other."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from kvpress import (
    ComposedPress, DMSPress, ExpectedAttentionPress, KeyDiffPress, KnormPress, LUKVPress, PerLayerCompressionPress,
    PyramidKVPress, SimLayerKVPress, SnapKVPress, StreamingLLMPress,
)
from kvpress.utils import compute_n_kept
from safetensors.numpy import save_file

from kvpress_models import pressed_layers
from parity import ARCHITECTURES, SMALL, Case

N_LAYERS = {"llama-gqa": 3, "neox-parallel": 3, "smollm2": 30} | dict.fromkeys(ARCHITECTURES, 2) | {"parity-gemma3": 4}
N_HEADS = {"llama-gqa": 2, "neox-parallel": 4, "smollm2": 3} | dict.fromkeys(ARCHITECTURES, 2)
CONTEXT = dict.fromkeys(SMALL, 144) | {"smollm2": 512}
WINDOW = dict.fromkeys(SMALL, 32) | {"smollm2": 128}
KEYS: dict[str, list[torch.Tensor]] = {}  # of each model's layers without a window


def layer_ratios(name: str, ratio: float) -> list[float]:
    """Rising from layer to layer; the first is left alone."""
    n = N_LAYERS[name]
    return [round(ratio * layer / (n - 1), 4) for layer in range(n)]


def curves(name: str) -> np.ndarray:
    """[99, layers, KV heads]: heads that give up more or less than the mean, in float16 numbers."""
    lean = np.random.default_rng(7).uniform(-0.9, 0.9, (1, N_LAYERS[name], N_HEADS[name]))
    ratio = np.arange(1, 100).reshape(99, 1, 1) / 100
    return np.clip(ratio + lean * np.minimum(ratio, 1 - ratio), 0, 1).astype(np.float16)


def lukv(ratio: float, name: str, **parameters) -> LUKVPress:
    press = LUKVPress(compression_ratio=ratio, **parameters)
    press._budget_curves = curves(name).astype(np.float32)  # in place of a download
    return press


def prepare(out: Path, subjects: dict) -> None:
    for name in N_LAYERS:
        path = out / "trained" / name / "lukv.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"curves": curves(name)}, path)
    for name, it in subjects.items():
        KEYS[name] = [it.full["sdpa"][i] for i in pressed_layers(it.models["sdpa"])]


def quantile(name: str, ratio: float, scores) -> float:
    """A threshold that about this share of all scores is below, in few digits."""
    values = torch.cat([scores(keys).flatten() for keys in KEYS[name]])
    return float(f"{values.quantile(ratio).item():.4g}")


def knorm_threshold(name: str, ratio: float) -> float:
    return quantile(name, ratio, lambda keys: -keys.norm(dim=-1))


def keydiff_threshold(name: str, ratio: float) -> float:
    def scores(keys):
        unit = torch.nn.functional.normalize(keys, dim=-1)
        return -torch.nn.functional.cosine_similarity(keys, unit.mean(1, keepdim=True), dim=-1)

    return quantile(name, ratio, scores)


def stages(name: str, ratio: float, k: int) -> list[float]:
    """Ratios by which k presses of kvpress leave as many as composed() lets its own leave."""
    held, n_kept = CONTEXT[name], compute_n_kept(CONTEXT[name], ratio)
    ratios = []
    for left in range(k, 0, -1):
        n = round(held * (n_kept / held) ** (1 / left))
        ratios.append(1 - (n + 0.5) / held)
        assert compute_n_kept(held, ratios[-1]) == n
        held = n
    return ratios


class InOrder(StreamingLLMPress):
    """Keeps the order of positions. kvpress leaves kept tokens in the order of their scores, and a press after it that goes
    by slots, SnapKV's window say, takes the wrong ones."""

    def compress(self, module, hidden_states, keys, values, attentions, kwargs):
        scores = self.score(module, hidden_states, keys, values, attentions, kwargs)
        kept = scores.topk(compute_n_kept(keys.shape[2], self.compression_ratio), dim=-1).indices.sort(dim=-1).values
        kept = kept.unsqueeze(-1).expand(-1, -1, -1, module.head_dim)
        return keys.gather(2, kept).contiguous(), values.gather(2, kept).contiguous()


def composed(name: str, ratio: float, *presses) -> ComposedPress:
    return ComposedPress([press(r) for press, r in zip(presses, stages(name, ratio, len(presses)))])


class Pyramid(PyramidKVPress):
    """Over the layers that are compressed. kvpress counts layers with windows as steps of the pyramid, so that the rest
    hold more or less than the ratio."""

    def post_init_from_model(self, model):
        pressed = pressed_layers(model)
        config = SimpleNamespace(num_hidden_layers=len(pressed))
        self.steps = {layer: SimpleNamespace(layer_idx=i, config=config) for i, layer in enumerate(pressed)}

    def get_layer_budget(self, module, q_len):
        return super().get_layer_budget(self.steps[module.layer_idx], q_len)


CASES = [
    Case("pyramidkv_w16", "pyramidkv(window_size=16)", lambda r: Pyramid(r, window_size=16), models=SMALL),
    Case("pyramidkv", "pyramidkv", lambda r: Pyramid(r), models=("smollm2",)),
    Case("pyramidkv_gentle", "pyramidkv(window_size=8, kernel_size=7, beta=2)",
         lambda r: Pyramid(r, window_size=8, kernel_size=7, beta=2), models=SMALL),
    Case("simlayerkv", "simlayerkv", lambda r: SimLayerKVPress(), ratios=(0.5,), models=SMALL),
    # The ratio stands for the threshold.
    Case("simlayerkv_n8", lambda name, r: f"simlayerkv(lazy_threshold={r}, n_last=8, n_recent=40, n_initial=2)",
         lambda r: SimLayerKVPress(r, n_last=8, n_recent=40, n_initial=2), ratios=(0.25, 0.4)),
    Case("simlayerkv_n1", lambda name, r: f"simlayerkv(lazy_threshold={r}, n_recent=64)",
         lambda r: SimLayerKVPress(r, n_recent=64), models=SMALL),
    Case("per_layer_knorm", lambda name, r: f"per_layer(knorm, compression_ratios={layer_ratios(name, r)})",
         lambda r, name: PerLayerCompressionPress(KnormPress(), layer_ratios(name, r)), models=SMALL,
         ratios=(0.5,)),
    Case("per_layer_snapkv",
         lambda name, r: f"per_layer(snapkv(window_size=16), compression_ratios={layer_ratios(name, r)})",
         lambda r, name: PerLayerCompressionPress(SnapKVPress(window_size=16), layer_ratios(name, r)),
         models=SMALL),
    Case("lukv", lambda name, r: f"lukv(file={{data}}/trained/{name}/lukv.safetensors)", lambda r, name: lukv(r, name)),
    Case("lukv_keydiff", lambda name, r: f"lukv(keydiff, sink=2, window=5, file={{data}}/trained/{name}/lukv.safetensors)",
         lambda r, name: lukv(r, name, press=KeyDiffPress(), sink=2, window=5), models=SMALL),
    Case("dms_knorm",
         lambda name, r: f"dms(knorm, threshold={knorm_threshold(name, r)}, sliding_window_size={WINDOW[name]})",
         lambda r, name: DMSPress(KnormPress(), knorm_threshold(name, r), sliding_window_size=WINDOW[name])),
    Case("dms_keydiff", lambda name, r: f"dms(keydiff, threshold={keydiff_threshold(name, r)}, sliding_window_size=3)",
         lambda r, name: DMSPress(KeyDiffPress(), keydiff_threshold(name, r), sliding_window_size=3), models=SMALL),
    Case("dms_expected_attention",
         lambda name, r: f"dms(expected_attention, threshold={round(8 * r / CONTEXT[name], 6)}, sliding_window_size=32)",
         lambda r, name: DMSPress(ExpectedAttentionPress(), round(8 * r / CONTEXT[name], 6), sliding_window_size=32),
         models=SMALL),
    Case("dms_window", lambda name, r: f"dms(knorm, threshold={knorm_threshold(name, r)})",
         lambda r, name: DMSPress(KnormPress(), knorm_threshold(name, r)), ratios=(0.75,), models=SMALL),
    Case("composed_keys", "composed(keydiff, knorm)", lambda r, name: composed(name, r, KeyDiffPress, KnormPress),
         models=SMALL),
    Case("composed_three", "composed(knorm, keydiff, expected_attention(n_sink=0))",
         lambda r, name: composed(name, r, KnormPress, KeyDiffPress, lambda it: ExpectedAttentionPress(it, n_sink=0)),
         first_slack=12),  # knorm: in layer 0 the keys of a repeated word have equal norms
    Case("composed_window", "composed(streaming_llm, snapkv(window_size=16))",
         lambda r, name: composed(name, r, InOrder, lambda it: SnapKVPress(it, window_size=16)), models=SMALL),
]

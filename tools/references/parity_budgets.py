"""Budgets that differ from layer to layer, head to head or text to text, and presses one after the other."""

from kvpress import KnormPress, PerLayerCompressionPress, PyramidKVPress, SimLayerKVPress, SnapKVPress

from parity import SMALL, Case

N_LAYERS = {"llama-gqa": 3, "neox-parallel": 3, "smollm2": 30}


def layer_ratios(name: str, ratio: float) -> list[float]:
    """Rising from layer to layer; the first is left alone."""
    n = N_LAYERS[name]
    return [round(ratio * layer / (n - 1), 4) for layer in range(n)]


CASES = [
    Case("pyramidkv_w16", "pyramidkv(window_size=16)", lambda r: PyramidKVPress(r, window_size=16)),
    Case("pyramidkv", "pyramidkv", lambda r: PyramidKVPress(r), models=("smollm2",)),
    Case("pyramidkv_gentle", "pyramidkv(window_size=8, kernel_size=7, beta=2)",
         lambda r: PyramidKVPress(r, window_size=8, kernel_size=7, beta=2)),
    Case("simlayerkv", "simlayerkv", lambda r: SimLayerKVPress(), ratios=(0.5,)),
    # The ratio stands for the threshold.
    Case("simlayerkv_n8", lambda name, r: f"simlayerkv(lazy_threshold={r}, n_last=8, n_recent=40, n_initial=2)",
         lambda r: SimLayerKVPress(r, n_last=8, n_recent=40, n_initial=2)),
    Case("simlayerkv_n1", lambda name, r: f"simlayerkv(lazy_threshold={r}, n_recent=64)",
         lambda r: SimLayerKVPress(r, n_recent=64)),
    Case("per_layer_knorm", lambda name, r: f"per_layer(knorm, compression_ratios={layer_ratios(name, r)})",
         lambda r, name: PerLayerCompressionPress(KnormPress(), layer_ratios(name, r)), models=SMALL),
    Case("per_layer_snapkv",
         lambda name, r: f"per_layer(snapkv(window_size=16), compression_ratios={layer_ratios(name, r)})",
         lambda r, name: PerLayerCompressionPress(SnapKVPress(window_size=16), layer_ratios(name, r))),
]

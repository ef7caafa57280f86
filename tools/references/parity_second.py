"""Presses with a second look at the context."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from kvpress import FastKVzipPress, KVComposePress, KVzipPress
from kvpress.presses import kvzip_press
from kvpress.presses.fastkvzip_press import FastKVzipGate
from safetensors.torch import save_file

import smollm2
from kvpress_models import pressed_layers, window_of, without_windows
from parity import SMALL, Case
from press_scores import spec_of


class Text:
    """Stands for AutoTokenizer. Small models have no tokenizer, hence no prompt; the real one's is in its GGUF."""

    chat_template = None

    def __init__(self, folder: str) -> None:
        found = list(Path(folder).glob("*.gguf")) if folder else []
        self.tokenizer = smollm2.tokenizer_of(found[0]) if found else None

    @classmethod
    def from_pretrained(cls, folder: str) -> "Text":
        return cls(folder)

    def encode(self, text: str, **kwargs: Any) -> torch.Tensor:
        ids = self.tokenizer.encode(text, add_special_tokens=False).ids if self.tokenizer else []
        return torch.tensor([ids], dtype=torch.int64)


kvzip_press.AutoTokenizer = Text


def chunk(model: str) -> int:
    return 200 if model == "smollm2" else 60


class KVzip(KVzipPress):
    """Also over Gemma 3, which kvpress refuses ("KVzipPress is not supported for Gemma3ForCausalLM"): layers without a
    window share the budget, those with one stay as the text has left them."""

    def __call__(self, model):
        kvzip_press.Gemma3PreTrainedModel = ()
        return super().__call__(model)

    def forward_hook(self, module, input, kwargs, output):
        if window_of(module) is None:
            return super().forward_hook(module, input, kwargs, output)
        layer = kwargs["past_key_values"].layers[module.layer_idx]
        layer.keys, layer.values = (x[:, :, : self.context_length] for x in (layer.keys, layer.values))
        return output

    def compress_post(self, model):
        self.score_val = self.score_val[pressed_layers(model)]
        with without_windows(model) as rest:
            super().compress_post(rest)


class KVCompose(KVComposePress):
    """Without the second pass's entries, which kvpress leaves in the cache: see docs/presses.md. Layers with windows, which
    it does not know, take no part."""

    def enhance_scores(self) -> None:
        for layer in self.cache.layers:
            layer.keys, layer.values = (x[:, :, : self.context_len] for x in (layer.keys, layer.values))
        super().enhance_scores()
        pressed = pressed_layers(self.model)
        self.scores, self.num_layers = self.scores[pressed], len(pressed)
        self.cache = SimpleNamespace(layers=[self.cache.layers[i] for i in pressed])

    def compress_unstructured(self, model) -> None:
        with without_windows(model) as rest:
            super().compress_unstructured(rest)


class FastKVzip(FastKVzipPress):
    """Also where layers have windows, whose scores kvpress does not make and then misses ("expected Tensor as element 0 in
    argument 0, but got NoneType")."""

    def compress_post(self, model):
        self.score_val = [scores for scores in self.score_val if scores is not None]
        with without_windows(model) as rest:
            super().compress_post(rest)


GATES = Path(__file__).parents[2] / "tests/data/trained"
WIDTH, SINKS = 8, 5


def gates(model: str) -> list[FastKVzipGate]:
    """Random ones, the same each time, written for kvpress.cpp as well."""
    sizes = gate_sizes(model)
    generator = torch.Generator().manual_seed(11)
    made, tensors = [], {}
    for i in range(sizes["layers"]):
        gate = FastKVzipGate(i, sizes["hidden"], sizes["kv_heads"], sizes["group"], torch.float32, WIDTH, SINKS)
        for name, parameter in gate.named_parameters():
            spread = sizes["hidden"] ** -0.5 if "proj.weight" in name else 0.3
            values = torch.randn(parameter.shape, generator=generator) * spread + ("norm" in name)
            parameter.data = values.bfloat16().float()
            tensors[f"layers.{i}.{name}"] = parameter.data.bfloat16()
        made.append(gate.requires_grad_(False))
    save_file(tensors, GATES / model / "fastkvzip.safetensors")
    return made


def gate_sizes(model: str) -> dict[str, int]:
    config = spec_of(model).make_config()
    kv_heads = getattr(config, "num_key_value_heads", config.num_attention_heads)
    return {"layers": config.num_hidden_layers, "hidden": config.hidden_size, "kv_heads": kv_heads,
            "group": config.num_attention_heads // kv_heads}


def fastkvzip(ratio: float, model: str, **arguments: Any) -> FastKVzip:
    press = FastKVzip(ratio, **arguments)
    press.gates = gates(model)
    return press


CASES = [
    Case("kvzip", "kvzip", KVzip),
    Case("kvzip_chunks", lambda m, r: f"kvzip(layerwise=true, n_sink=8, chunk_size={chunk(m)})",
         lambda r, m: KVzip(r, layerwise=True, n_sink=8, chunk_size=chunk(m))),
    Case("kvzip_plus", "kvzip_plus", lambda r: KVzip(r, kvzip_plus_normalization=True)),
    Case("kvzip_plus_chunks", lambda m, r: f"kvzip(kvzip_plus_normalization=true, chunk_size={chunk(m)})",
         lambda r, m: KVzip(r, kvzip_plus_normalization=True, chunk_size=chunk(m))),
    Case("kvcompose", "kvcompose", lambda r: KVCompose(compression_ratio=r), eager=True),
    Case("kvcompose_mean",
         "kvcompose(agg_task=mean, agg_group=max, agg_head=max, add_mean_across_heads=false, keep_token_lower_bound=20)",
         lambda r: KVCompose(compression_ratio=r, agg_task="mean", agg_group="max", agg_head="max",
                             add_mean_across_heads=False, keep_token_lower_bound=20), eager=True,
         # Layer 0 takes at each rank the best of all layers, so its curve equals another layer's value for value, and the
         # cut may fall between equals of two layers (GPT-NeoX at 0.75: a gap of exactly 0).
         slack=1),
    Case("kvcompose_unstructured", "kvcompose_unstructured",
         lambda r: KVCompose(compression_ratio=r, structured=False), eager=True),
    Case("kvcompose_values", "kvcompose(structured=false, agg_task=mean, add_v_norm=true)",
         lambda r: KVCompose(compression_ratio=r, structured=False, agg_task="mean", add_v_norm=True), eager=True),
    Case("fastkvzip", lambda m, r: f"fastkvzip(file={{data}}/trained/{m}/fastkvzip.safetensors)", fastkvzip,
         models=SMALL),
    Case("fastkvzip_layerwise",
         lambda m, r: f"fastkvzip(file={{data}}/trained/{m}/fastkvzip.safetensors, layerwise=true, n_sink=9, window_ratio=0.1)",
         lambda r, m: fastkvzip(r, m, layerwise=True, n_sink=9, window_ratio=0.1), models=SMALL),
]

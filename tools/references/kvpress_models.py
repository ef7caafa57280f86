"""Models of the architectures that kvpress knows, with what it asks of them and transformers 5.2 does not give.

kvpress reads config.head_dim, which Qwen 2's and Phi-3's configurations lack ("'Qwen2Config' object has no attribute
'head_dim'"), takes q_proj and k_proj from modules of which Phi-3 has one for all three ("'Phi3Attention' object has no
attribute 'q_proj'"), and calls rotary_emb(x, positions) where Gemma 3 wants the type of the layer as well ("'None_inv_freq'").

Of Gemma 3 it leaves layers with windows alone, but only where the model is Gemma3ForConditionalGeneration (BasePress.__call__);
the text model alone, which has the same layers, gets the same treatment here.
"""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Iterator

import torch
from kvpress.presses import base_press, fastkvzip_press
from torch import nn
from transformers import Gemma3ForCausalLM, Phi3ForCausalLM, PreTrainedModel

for _module in (base_press, fastkvzip_press):
    _module.Gemma3ForConditionalGeneration = Gemma3ForCausalLM


def layers_of(model: PreTrainedModel) -> list[nn.Module]:
    return list(model.model.layers)


def window_of(attention: nn.Module) -> int | None:
    return attention.sliding_window if getattr(attention, "is_sliding", False) else None


def pressed_layers(model: PreTrainedModel) -> list[int]:
    return [i for i, layer in enumerate(layers_of(model)) if not window_of(layer.self_attn)]


class RotaryOfFullLayers(nn.Module):
    """Gemma 3's, for callers that do not name the type of their layer."""

    behind = 0  # how far positions of full layers are behind those of the others, when their cache was renumbered

    def __init__(self, original: nn.Module) -> None:
        super().__init__()
        self.original = original

    @property
    def inv_freq(self) -> torch.Tensor:
        return self.original.full_attention_inv_freq

    def forward(self, x: torch.Tensor, position_ids: torch.Tensor, layer_type: str = "full_attention") -> Any:
        behind = self.behind if layer_type == "full_attention" else 0
        return self.original(x, position_ids - behind, layer_type)


def split_products(attention: nn.Module) -> None:
    """The parts of qkv_proj as products of their own, beside it."""
    c = attention.config
    q, kv = c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim
    weights = attention.qkv_proj.weight.split([q, kv, kv])
    for name, weight in zip(("q_proj", "k_proj", "v_proj"), weights):
        linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        linear.weight.data.copy_(weight)
        setattr(attention, name, linear)


def as_kvpress_expects(model: PreTrainedModel) -> PreTrainedModel:
    c = model.config
    c.head_dim = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    if isinstance(model, Phi3ForCausalLM):
        for layer in layers_of(model):
            split_products(layer.self_attn)
    if isinstance(model, Gemma3ForCausalLM):
        model.model.rotary_emb = RotaryOfFullLayers(model.model.rotary_emb)
    return model


@contextmanager
def renumbered(model: PreTrainedModel, n_seen: int, n_kept: int) -> Iterator[int]:
    """Gives the position at which the text goes on after n_seen tokens of which n_kept were turned to the first positions.
    In layers with windows, which are not compressed, it stays what it was."""
    rotary = model.model.rotary_emb
    if not isinstance(rotary, RotaryOfFullLayers):
        yield n_kept
        return
    rotary.behind = n_seen - n_kept
    yield n_seen
    rotary.behind = 0


@contextmanager
def without_windows(model: PreTrainedModel) -> Iterator[Any]:
    """A stand-in for presses that go through all layers at once: it has the layers without a window alone, counted anew.
    The masks of heads that they leave there are passed on to the layers."""
    layers = [layers_of(model)[i] for i in pressed_layers(model)]
    seen = [SimpleNamespace(self_attn=SimpleNamespace(layer_idx=i, config=layer.self_attn.config))
            for i, layer in enumerate(layers)]
    yield SimpleNamespace(model=SimpleNamespace(layers=seen))
    for layer, stand_in in zip(layers, seen):
        layer.self_attn.masked_key_indices = getattr(stand_in.self_attn, "masked_key_indices", None)

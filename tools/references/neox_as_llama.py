"""A GPT-NeoX model in the form of a Llama model, so that kvpress, which knows only that form, runs on it.

The channels of each query and key head are reordered: Llama turns channel i with i + d/2, all of them; GPT-NeoX turns
only the first ones, i with i + rotary/2. The rotated halves move to the front of the two halves of the head, and the rest
gets an angle of 0. No score of a press depends on the order of channels, and the logits come out the same.
"""

from __future__ import annotations

import torch
from torch import nn
from transformers import GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaAttention


def channel_order(head_dim: int, rotary: int) -> torch.Tensor:
    """order[i] = the GPT-NeoX channel that becomes channel i."""
    half, turned = head_dim // 2, rotary // 2
    rest = list(range(rotary, head_dim))
    first = list(range(turned)) + rest[: half - turned]
    second = list(range(turned, rotary)) + rest[half - turned :]
    return torch.tensor(first + second)


class Rotary(nn.Module):
    def __init__(self, original: nn.Module, head_dim: int) -> None:
        super().__init__()
        self.original, self.head_dim = original, head_dim
        self.attention_scaling = 1.0

    @property
    def inv_freq(self) -> torch.Tensor:
        turned = self.original.inv_freq
        return torch.cat([turned, turned.new_zeros(self.head_dim // 2 - len(turned))])

    def forward(self, x: torch.Tensor, position_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        cos, sin = self.original(x, position_ids)
        turned = cos.shape[-1] // 2
        shape = (*cos.shape[:-1], self.head_dim // 2)
        c, s = cos.new_ones(shape), sin.new_zeros(shape)
        c[..., :turned], s[..., :turned] = cos[..., :turned], sin[..., :turned]
        return torch.cat([c, c], -1), torch.cat([s, s], -1)


class Layer(nn.Module):
    def __init__(self, config: LlamaConfig, index: int, neox: nn.Module, order: torch.Tensor) -> None:
        super().__init__()
        self.parallel = neox.use_parallel_residual
        self.input_layernorm, self.post_attention_layernorm = neox.input_layernorm, neox.post_attention_layernorm
        self.mlp = neox.mlp
        self.self_attn = LlamaAttention(config, index)
        heads, d = config.num_attention_heads, config.head_dim
        qkv = neox.attention.query_key_value
        weight = qkv.weight.view(heads, 3, d, -1)
        bias = qkv.bias.view(heads, 3, d)
        for part, proj in enumerate((self.self_attn.q_proj, self.self_attn.k_proj, self.self_attn.v_proj)):
            w, b = weight[:, part], bias[:, part]
            if part < 2:
                w, b = w[:, order], b[:, order]
            proj.weight.data.copy_(w.reshape(heads * d, -1))
            proj.bias.data.copy_(b.reshape(-1))
        self.self_attn.o_proj.weight.data.copy_(neox.attention.dense.weight)
        self.self_attn.o_proj.bias.data.copy_(neox.attention.dense.bias)

    def forward(self, hidden_states: torch.Tensor, **kwargs) -> torch.Tensor:
        attended, _ = self.self_attn(hidden_states=self.input_layernorm(hidden_states), **kwargs)
        if self.parallel:
            return hidden_states + attended + self.mlp(self.post_attention_layernorm(hidden_states))
        hidden_states = hidden_states + attended
        return hidden_states + self.mlp(self.post_attention_layernorm(hidden_states))


def neox_as_llama(neox: GPTNeoXForCausalLM, attention: str) -> LlamaForCausalLM:
    c = neox.config
    d = c.hidden_size // c.num_attention_heads
    rotary = int(d * c.rope_parameters["partial_rotary_factor"])
    config = LlamaConfig(
        vocab_size=c.vocab_size, hidden_size=c.hidden_size, num_hidden_layers=c.num_hidden_layers,
        num_attention_heads=c.num_attention_heads, num_key_value_heads=c.num_attention_heads, head_dim=d,
        intermediate_size=c.intermediate_size, max_position_embeddings=c.max_position_embeddings, attention_bias=True,
        attn_implementation=attention,
    )
    model = LlamaForCausalLM(config).eval()
    order = channel_order(d, rotary)
    model.model.embed_tokens.weight.data.copy_(neox.gpt_neox.embed_in.weight)
    model.lm_head.weight.data.copy_(neox.embed_out.weight)
    for i, layer in enumerate(neox.gpt_neox.layers):
        model.model.layers[i] = Layer(config, i, layer, order)
    model.model.norm = neox.gpt_neox.final_layer_norm
    model.model.rotary_emb = Rotary(neox.gpt_neox.rotary_emb, d)
    tokens = torch.arange(min(64, c.vocab_size)).unsqueeze(0)
    error = (model(tokens).logits - neox(tokens).logits).abs().max().item()
    if error > 1e-4:
        raise AssertionError(f"the Llama form of the model is another model: logits differ by {error:.1e}")
    return model

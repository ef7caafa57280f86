"""Small random models, saved as transformers saves them, and once as the Pythia files are published."""

from __future__ import annotations

import json
import math
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import torch
from safetensors.torch import save_file
from transformers import (
    AutoModelForCausalLM, Gemma2Config, Gemma3TextConfig, GPT2Config, GPTNeoXConfig, GptOssConfig, LlamaConfig,
    Ministral3Config, MinistralConfig, MistralConfig, MixtralConfig, Olmo2Config, OPTConfig, Phi3Config, PreTrainedModel, Qwen2Config,
    Qwen3Config, Qwen3MoeConfig, SmolLM3Config,
)

import mxfp4

VOCAB = 192


@dataclass(frozen=True)
class Spec:
    """One model: its configuration, and how many reference tokens it gets."""

    name: str
    make_config: Callable[[], Any]
    n_tokens: int
    token_limit: int = VOCAB  # ids at or above this never occur, as in vocabularies padded beyond the tokenizer
    variant: int = 0  # another draw of the weights, chosen so that no press comes close to a tie
    rounded: bool = False  # weights of bfloat16, in files of half the size


def neox_parallel() -> GPTNeoXConfig:
    return GPTNeoXConfig(
        vocab_size=VOCAB, hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=128,
        hidden_act="gelu", rotary_pct=0.25, rotary_emb_base=10000, max_position_embeddings=512,
        use_parallel_residual=True, tie_word_embeddings=False,
    )


def neox_sequential() -> GPTNeoXConfig:
    return GPTNeoXConfig(
        vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        hidden_act="gelu_fast", rotary_pct=0.5, rotary_emb_base=5000, max_position_embeddings=512,
        use_parallel_residual=False, tie_word_embeddings=False, layer_norm_eps=1e-6,
    )


def neox_legacy() -> GPTNeoXConfig:
    return GPTNeoXConfig(
        vocab_size=144, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        hidden_act="gelu", rotary_pct=0.25, rotary_emb_base=10000, max_position_embeddings=64,
        use_parallel_residual=True, tie_word_embeddings=False,
    )


def llama_gqa() -> LlamaConfig:
    return LlamaConfig(
        vocab_size=VOCAB, hidden_size=64, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=96, max_position_embeddings=1024, rms_norm_eps=1e-5, rope_theta=10000.0,
        tie_word_embeddings=False,
    )


def llama3_rope() -> LlamaConfig:
    # head_dim is not hidden_size / heads here; the short original context makes every branch of llama3 scaling occur.
    return LlamaConfig(
        vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=16, intermediate_size=64, max_position_embeddings=1024, rms_norm_eps=1e-6,
        attention_bias=True, mlp_bias=True, tie_word_embeddings=True,
        rope_parameters={
            "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 64,
        },
    )


def mistral_window() -> MistralConfig:
    # The window is much shorter than the text.
    return MistralConfig(
        vocab_size=VOCAB, hidden_size=64, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
        intermediate_size=96, max_position_embeddings=1024, rms_norm_eps=1e-5, rope_theta=10000.0, sliding_window=24,
        tie_word_embeddings=False,
    )


def llama_scaled(**scaling: Any) -> LlamaConfig:
    # The text is three times as long as the context the model is said to have been trained for.
    return LlamaConfig(
        vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
        intermediate_size=64, max_position_embeddings=scaling.pop("max_position_embeddings", 256), rms_norm_eps=1e-6,
        tie_word_embeddings=False, rope_parameters={"rope_theta": 10000.0} | scaling,
    )


def llama_yarn() -> LlamaConfig:
    return llama_scaled(rope_type="yarn", factor=4.0, beta_fast=8.0, original_max_position_embeddings=64)


def llama_longrope() -> LlamaConfig:
    return llama_scaled(
        rope_type="longrope", original_max_position_embeddings=64, short_factor=[1.0 + 0.1 * i for i in range(8)],
        long_factor=[1.0, 1.1, 1.3, 1.7, 2.5, 4.0, 6.0, 8.0],
    )


def llama_dynamic() -> LlamaConfig:
    return llama_scaled(rope_type="dynamic", factor=4.0, max_position_embeddings=64)


# What the small models of other architectures have in common: as few numbers as show every trait.
SMALL: dict[str, Any] = dict(
    vocab_size=VOCAB, hidden_size=32, num_attention_heads=4, num_key_value_heads=2, intermediate_size=48,
    max_position_embeddings=1024, tie_word_embeddings=False,
)


def rope(theta: float, **scaling: Any) -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": theta} | scaling


# On these kvpress runs as well: tools/references/parity.py.
PARITY: dict[str, Any] = SMALL | dict(hidden_size=64, intermediate_size=64, num_hidden_layers=2)


def parity_mistral() -> MistralConfig:
    return MistralConfig(**PARITY, head_dim=16, sliding_window=None, rope_parameters=rope(10000.0))


def parity_phi3() -> Phi3Config:
    return Phi3Config(
        **PARITY, sliding_window=None, pad_token_id=0, bos_token_id=1, eos_token_id=2, rope_parameters=rope(10000.0),
        original_max_position_embeddings=1024,
    )


def parity_qwen2() -> Qwen2Config:
    return Qwen2Config(**PARITY, rope_parameters=rope(1e6))


def parity_qwen3() -> Qwen3Config:
    return Qwen3Config(**PARITY | {"tie_word_embeddings": True}, head_dim=16, rope_parameters=rope(1e6))


def parity_gemma3() -> Gemma3TextConfig:
    # kvpress divides by sqrt(head_dim), which is the model's own scale here.
    return Gemma3TextConfig(
        **PARITY | {"tie_word_embeddings": True, "num_hidden_layers": 4}, head_dim=16, sliding_window=32,
        query_pre_attn_scalar=16, hidden_activation="gelu_pytorch_tanh",
        layer_types=["sliding_attention", "full_attention"] * 2,
        rope_parameters={"full_attention": rope(1e6), "sliding_attention": rope(10000.0)},
    )


def ministral() -> MinistralConfig:
    return MinistralConfig(
        **SMALL, num_hidden_layers=3, head_dim=16, sliding_window=16, rope_parameters=rope(10000.0),
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    )


def ministral3() -> Ministral3Config:
    # The text is three times as long as the context from which on queries grow, and they grow a lot.
    return Ministral3Config(
        **SMALL, num_hidden_layers=2, head_dim=16, rope_parameters=rope(
            10000.0, rope_type="yarn", factor=4.0, beta_fast=8.0, beta_slow=1.0, mscale=1.0, mscale_all_dim=1.0,
            original_max_position_embeddings=32, llama_4_scaling_beta=0.8,
        ),
    )


def mixtral() -> MixtralConfig:
    return MixtralConfig(
        **SMALL, num_hidden_layers=2, num_local_experts=4, num_experts_per_tok=2, rope_parameters=rope(1e6),
    )


def qwen2() -> Qwen2Config:
    return Qwen2Config(
        **SMALL, num_hidden_layers=3, rope_parameters=rope(1e6), use_sliding_window=True, sliding_window=16,
        max_window_layers=2,
    )


def qwen3() -> Qwen3Config:
    return Qwen3Config(
        **SMALL | {"tie_word_embeddings": True}, num_hidden_layers=2, head_dim=16, rope_parameters=rope(1e6),
    )


def qwen3_moe() -> Qwen3MoeConfig:
    # The last layer has no experts, and weights of chosen experts do not sum to 1.
    return Qwen3MoeConfig(
        **SMALL, num_hidden_layers=3, head_dim=16, moe_intermediate_size=24, num_experts=6, num_experts_per_tok=2,
        norm_topk_prob=False, mlp_only_layers=[2], rope_parameters=rope(1e6),
    )


def gemma2() -> Gemma2Config:
    # Caps low enough to bend what they cap.
    return Gemma2Config(
        **SMALL | {"tie_word_embeddings": True}, num_hidden_layers=3, head_dim=16, sliding_window=16,
        query_pre_attn_scalar=12, attn_logit_softcapping=2.0, final_logit_softcapping=3.0,
        rope_parameters=rope(10000.0), hidden_activation="gelu_pytorch_tanh",
    )


def gemma3() -> Gemma3TextConfig:
    return Gemma3TextConfig(
        **SMALL | {"tie_word_embeddings": True}, num_hidden_layers=4, head_dim=16, sliding_window=16,
        query_pre_attn_scalar=12, hidden_activation="gelu_pytorch_tanh",
        layer_types=["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"],
        rope_parameters={
            "full_attention": rope(1e6, rope_type="linear", factor=8.0), "sliding_attention": rope(10000.0),
        },
    )


def phi3() -> Phi3Config:
    return Phi3Config(
        **SMALL, num_hidden_layers=2, sliding_window=40, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        rope_parameters=rope(10000.0, partial_rotary_factor=0.5), original_max_position_embeddings=1024,
    )


def olmo2() -> Olmo2Config:
    return Olmo2Config(**SMALL, num_hidden_layers=2, rope_parameters=rope(500000.0))


def smollm3() -> SmolLM3Config:
    return SmolLM3Config(
        **SMALL | {"tie_word_embeddings": True}, num_hidden_layers=4, no_rope_layers=[1, 0, 1, 0],
        use_sliding_window=True, sliding_window=20, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        rope_parameters=rope(2e6),
    )


def gpt_oss() -> GptOssConfig:
    return GptOssConfig(
        **SMALL, num_hidden_layers=3, head_dim=16, num_local_experts=4, num_experts_per_tok=2, sliding_window=16,
        rope_parameters=rope(
            150000.0, rope_type="yarn", factor=4.0, beta_fast=32.0, beta_slow=1.0, truncate=False,
            original_max_position_embeddings=32,
        ),
    )


def gpt_oss_mxfp4() -> GptOssConfig:
    # Rows of two groups of MXFP4.
    return with_changes(
        gpt_oss(), hidden_size=64, intermediate_size=64, num_hidden_layers=2,
        layer_types=["sliding_attention", "full_attention"],
        quantization_config={
            "quant_method": "mxfp4",
            "modules_to_not_convert": [
                "model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head",
            ],
        },
    )


def gpt2() -> GPT2Config:
    return GPT2Config(vocab_size=VOCAB, n_positions=128, n_embd=32, n_layer=2, n_head=4)


def opt() -> OPTConfig:
    return OPTConfig(
        vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, ffn_dim=64, max_position_embeddings=128,
        num_attention_heads=4, word_embed_proj_dim=32,
    )


SPECS: tuple[Spec, ...] = (
    Spec("neox-parallel", neox_parallel, 192, variant=65),
    Spec("neox-sequential", neox_sequential, 96),
    Spec("neox-legacy", neox_legacy, 64, token_limit=128),
    Spec("llama-gqa", llama_gqa, 192, variant=53),
    Spec("llama3-rope", llama3_rope, 96),
    Spec("neox-sharded-bf16", neox_sequential, 96, rounded=True),
    Spec("mistral-window", mistral_window, 192),
    Spec("llama-yarn", llama_yarn, 192),
    Spec("llama-longrope", llama_longrope, 192),
    Spec("llama-dynamic", llama_dynamic, 192),
) + tuple(
    Spec(make_config.__name__.replace("_", "-"), make_config, 96)
    for make_config in (
        gemma2, gemma3, gpt2, gpt_oss, ministral, ministral3, mixtral, olmo2, opt, phi3, qwen2, qwen3, qwen3_moe, smollm3,
    )
) + (
    Spec("gpt-oss-mxfp4", gpt_oss_mxfp4, 96, rounded=True),
    Spec("parity-mistral", parity_mistral, 192, rounded=True),
    Spec("parity-phi3", parity_phi3, 192, rounded=True),
    Spec("parity-qwen2", parity_qwen2, 192, rounded=True),
    Spec("parity-qwen3", parity_qwen3, 192, rounded=True),
    Spec("parity-gemma3", parity_gemma3, 192, rounded=True),
)


# As far as a GGUF can say: windows and layers without RoPE at their places, scales of attention by head_dim.
GGUF_SPECS: tuple[Spec, ...] = tuple(
    Spec("gguf-" + name, make_config, 96)
    for name, make_config in (
        ("gemma2", lambda: with_changes(gemma2(), query_pre_attn_scalar=16)),
        ("gemma3", lambda: Gemma3TextConfig(
            **SMALL | {"tie_word_embeddings": True}, num_hidden_layers=6, head_dim=16, sliding_window=16,
            query_pre_attn_scalar=16, hidden_activation="gelu_pytorch_tanh",
            rope_parameters={"full_attention": rope(1e6), "sliding_attention": rope(10000.0)},
        )),
        ("gpt2", gpt2),
        ("gpt-neox", neox_parallel),
        ("gpt-oss", gpt_oss),
        ("llama", llama3_rope),
        ("mixtral", mixtral),
        ("olmo2", olmo2),
        ("phi3", phi3),
        ("qwen2", lambda: with_changes(qwen2(), sliding_window=None, layer_types=["full_attention"] * 3)),
        ("qwen3", qwen3),
        ("qwen3-moe", lambda: with_changes(qwen3_moe(), norm_topk_prob=True, mlp_only_layers=[])),
        ("smollm3", lambda: SmolLM3Config(
            **SMALL | {"tie_word_embeddings": True}, num_hidden_layers=4, rope_parameters=rope(2e6),
            pad_token_id=0, bos_token_id=1, eos_token_id=2,
        )),
    )
)


def with_changes(config: Any, **changes: Any) -> Any:
    for key, value in changes.items():
        setattr(config, key, value)
    return config


def tokens_of(spec: Spec) -> torch.Tensor:
    """Distinct tokens: repeated ones tie (equal key norms before any attention), and ties are free to fall either way."""
    generator = torch.Generator().manual_seed(zlib.crc32(b"tokens " + spec.name.encode()))
    return torch.randperm(spec.token_limit, generator=generator)[: spec.n_tokens].unsqueeze(0)


def randomize(model: PreTrainedModel, seed: int) -> None:
    """Weights of a scale at which attention is far from uniform, and norms and biases that matter."""
    generator = torch.Generator().manual_seed(seed)

    def normal(shape: torch.Size, std: float) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * std

    one = 0.0 if model.config.model_type.startswith("gemma") else 1.0  # Gemma's norms multiply by 1 + weight
    inputs_first = {"gpt2": ("c_attn", "c_proj", "c_fc"), "gpt_oss": ("experts",)}.get(model.config.model_type, ())
    for name, p in sorted(model.named_parameters()):
        if "norm" in name or ".ln_" in name:
            p.copy_(normal(p.shape, 0.2) + (one if name.endswith("weight") else 0.0))
        elif name.endswith("bias"):
            p.copy_(normal(p.shape, 0.2))
        elif name.endswith("sinks"):
            p.copy_(normal(p.shape, 1.0))
        elif "embed_positions" in name or "wpe" in name:
            p.copy_(normal(p.shape, 0.3))
        elif "embed_in" in name or "embed_tokens" in name or "wte" in name:
            p.copy_(normal(p.shape, 1.0))
        else:
            gain = 1.0
            if any(part in name for part in ("q_proj", "k_proj", "query_key_value", "qkv_proj", "c_attn")):
                gain = 1.5
            if "embed_out" in name or "lm_head" in name:
                gain = 1.5
            n_inputs = p.shape[-2] if any(part in name for part in inputs_first) else p.shape[-1]
            p.copy_(normal(p.shape, gain / math.sqrt(n_inputs)))
    if model.config.tie_word_embeddings:  # a unit embedding would make logits of std sqrt(hidden)
        model.get_input_embeddings().weight.mul_(2.0 / math.sqrt(model.config.hidden_size))


def published_config(config: Any) -> dict[str, Any]:
    """config.json with the keys that hub repositories had before rope_parameters."""
    d = config.to_dict()
    rope = d.pop("rope_parameters", None)
    for key in (
        "transformers_version", "dtype", "id2label", "label2id", "_name_or_path", "chunk_size_feed_forward",
        "is_encoder_decoder", "output_attentions", "output_hidden_states", "problem_type", "return_dict",
    ):
        d.pop(key, None)
    if d["model_type"] == "gpt_neox":
        keep = (
            "hidden_act", "hidden_size", "initializer_range", "intermediate_size", "layer_norm_eps",
            "max_position_embeddings", "model_type", "num_attention_heads", "num_hidden_layers",
            "tie_word_embeddings", "use_cache", "use_parallel_residual", "vocab_size",
        )
        d = {k: d[k] for k in keep} | {
            "architectures": ["GPTNeoXForCausalLM"], "bos_token_id": 0, "eos_token_id": 0,
            "rotary_emb_base": int(rope["rope_theta"]), "rotary_pct": rope["partial_rotary_factor"],
            "torch_dtype": "float16", "transformers_version": "4.24.0",
        }
    elif rope is None:
        d["torch_dtype"] = "float32"
    elif "full_attention" in rope:
        full = rope["full_attention"]
        d |= {
            "rope_theta": full["rope_theta"], "rope_local_base_freq": rope["sliding_attention"]["rope_theta"],
            "rope_scaling": {k: full[k] for k in ("rope_type", "factor")} if "factor" in full else None,
            "torch_dtype": "float32",
        }
    else:
        scaling = {k: v for k, v in rope.items() if k not in ("rope_theta", "partial_rotary_factor")}
        if "partial_rotary_factor" in rope:
            d["partial_rotary_factor"] = rope["partial_rotary_factor"]
        d |= {
            "architectures": [type(config).__name__.replace("Config", "ForCausalLM")], "rope_theta": rope["rope_theta"],
            "rope_scaling": scaling if scaling.get("rope_type", "default") != "default" else None,
            "torch_dtype": "float32", "transformers_version": "4.43.0",
        }
    return dict(sorted(d.items()))


def save_legacy(model: PreTrainedModel, folder: Path) -> None:
    """As the Pythia repositories: float16, the old keys, and the buffers that transformers saved in 2022."""
    state = {k: v.half() for k, v in model.state_dict().items()}
    n = model.config.max_position_embeddings
    mask = torch.tril(torch.ones(n, n, dtype=torch.uint8)).view(1, 1, n, n)
    for i in range(model.config.num_hidden_layers):
        prefix = f"gpt_neox.layers.{i}.attention."
        state[prefix + "bias"] = mask.bool() if i else mask.clone()  # both types were published
        state[prefix + "masked_bias"] = torch.tensor(-1e9).float() if i else torch.tensor(-65504.0).half()
        state[prefix + "rotary_emb.inv_freq"] = model.gpt_neox.rotary_emb.inv_freq.clone().half()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(published_config(model.config), indent=2) + "\n")


def build(spec: Spec) -> PreTrainedModel:
    """The model in float32. Reduced weights are rounded first, so that all references are for the stored numbers."""
    config = spec.make_config()
    is_mxfp4 = getattr(config, "quantization_config", None) is not None
    if is_mxfp4:
        del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager").eval()
    randomize(model, zlib.crc32(f"weights {spec.name} {spec.variant}".encode()))
    if spec.name == "neox-legacy":
        model = model.half().float()
    if spec.rounded:
        model = model.bfloat16().float()
    if is_mxfp4:
        mxfp4.round_experts(model)
    return model


def save_mxfp4(model: PreTrainedModel, spec: Spec, folder: Path) -> None:
    """As gpt-oss is published: experts in MXFP4, the rest in bfloat16."""
    folder.mkdir(parents=True, exist_ok=True)
    state = mxfp4.packed(model.bfloat16().state_dict())
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    config = with_changes(spec.make_config(), architectures=["GptOssForCausalLM"], dtype="bfloat16")
    config.save_pretrained(folder)
    (folder / "config.published.json").write_text(json.dumps(published_config(config), indent=2) + "\n")


def save_model(spec: Spec, out: Path) -> None:
    folder = out / "models" / spec.name
    shutil.rmtree(folder, ignore_errors=True)
    model = build(spec)
    if spec.name == "neox-legacy":
        save_legacy(model, folder)
        return
    if spec.name == "gpt-oss-mxfp4":
        save_mxfp4(model, spec, folder)
        return
    if spec.name == "neox-sharded-bf16":
        model.bfloat16().save_pretrained(folder, max_shard_size="16KB")
    else:
        (model.bfloat16() if spec.rounded else model).save_pretrained(folder)
        text = json.dumps(published_config(model.config), indent=2) + "\n"
        (folder / "config.published.json").write_text(text)
    (folder / "generation_config.json").unlink(missing_ok=True)


def main(out: Path, only: tuple[str, ...] = ()) -> None:
    for spec in SPECS:
        if not only or spec.name in only:
            save_model(spec, out)

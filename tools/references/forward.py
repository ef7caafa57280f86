"""Hidden states, logits and NLL of the small models, from the files that models.py wrote."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, Mxfp4Config, PreTrainedModel

from common import save_json, save_tensors, token_nll
from models import SPECS, Spec, build, tokens_of

STEP = 8  # logits and hidden states are stored for positions 0, 8, 16, ...; the NLL covers all


def load(spec: Spec, out: Path, dtype: torch.dtype = torch.float32, attention: str = "eager") -> PreTrainedModel:
    # The config is passed: transformers 5.2 reads partial_rotary_factor of a GPT-NeoX config.json back as 0.25, always.
    folder = out / "models" / spec.name
    config = spec.make_config()
    more = {}
    if getattr(config, "quantization_config", None) is not None:
        more["quantization_config"] = Mxfp4Config(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(
        folder, config=config, dtype=dtype, attn_implementation=attention, **more
    )
    for p in model.parameters():  # experts out of MXFP4 are bfloat16 whatever dtype says
        p.data = p.data.to(dtype)
    return model.eval()


def run(model: PreTrainedModel, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
    """Logits, the embedding and each layer's output (before the final norm), and the final norm's output."""
    base = model.base_model
    seen: dict[str, torch.Tensor] = {}
    hooks = []
    decoder = getattr(base, "decoder", base)
    for i, layer in enumerate(decoder.h if hasattr(decoder, "h") else decoder.layers):
        def keep(_module, _args, output, i=i):
            seen[f"hidden/layer{i}"] = (output[0] if isinstance(output, tuple) else output)[0]
        hooks.append(layer.register_forward_hook(keep))
    result = model(tokens, use_cache=False, output_hidden_states=True)
    for hook in hooks:
        hook.remove()
    seen["hidden/embedding"] = result.hidden_states[0][0]
    seen["hidden/final_norm"] = result.hidden_states[-1][0]
    seen["logits"] = result.logits[0]
    return seen


def check_equal(spec: Spec, out: Path) -> None:
    """The saved files give back the model that was built, and the old config means the same as the new one."""
    built, loaded = build(spec).state_dict(), load(spec, out).state_dict()
    for name, value in built.items():
        if not torch.equal(value, loaded[name]):
            raise AssertionError(f"{spec.name}: {name} changed on the way through the file")
    published = out / "models" / spec.name / "config.published.json"
    if published.exists():
        config = type(spec.make_config()).from_json_file(published)
        if getattr(config, "rope_parameters", None) != getattr(load(spec, out).config, "rope_parameters", None):
            raise AssertionError(f"{spec.name}: config.published.json has another RoPE")


def main(out: Path, only: tuple[str, ...] = ()) -> None:
    summary_path = out / "forward" / "summary.json"
    summary = json.loads(summary_path.read_text()) if only else {}
    for spec in SPECS:
        if only and spec.name not in only:
            continue
        check_equal(spec, out)
        tokens = tokens_of(spec)
        seen = run(load(spec, out), tokens)
        low = run(load(spec, out, torch.bfloat16), tokens)
        parity = spec.name.startswith("parity-")  # others show what these have layer by layer
        tensors = {} if parity else {name: value[::STEP] for name, value in seen.items()}
        tensors["tokens"] = tokens[0].float()
        tensors["nll"] = token_nll(seen["logits"][:-1], tokens[0, 1:])
        tensors["bf16/nll"] = token_nll(low["logits"][:-1], tokens[0, 1:])
        save_tensors(out / "forward" / f"{spec.name}.safetensors", tensors, {"position_step": STEP})
        difference = (low["logits"].float() - seen["logits"]).abs()
        summary[spec.name] = {
            "tokens": tokens[0].tolist(),
            "mean_nll": tensors["nll"].mean().item(),
            "bf16_mean_nll": tensors["bf16/nll"].mean().item(),
            "bf16_logits_max_difference": difference.max().item(),
            "bf16_logits_mean_difference": difference.mean().item(),
            "logits_std": seen["logits"].std().item(),
        }
    save_json(summary_path, summary)

"""Presses with trained parts. The parts are made here, by kvpress's own code where it has any, from two pieces of the
context; they lie in tests/data/trained/<model>, and tests/eval/calibrate_test.cpp makes the same ones again.

The channels of a GPT-NeoX's heads stand in another order in the form that kvpress runs on (neox_as_llama.py): what is
made of queries and keys is written in the model's own order, and given to kvpress in the other.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Iterator

import numpy as np
import torch
from kvpress import AdaKVPress, DuoAttentionPress, ExpectedAttentionStatsPress, KVzapPress, QFilterPress
from kvpress.presses import duo_attention_press, expected_attention_with_stats
from kvpress.presses.kvzap_press import KVzapConfig, KVzapModel
from safetensors.torch import save_file
from transformers import BatchEncoding, PreTrainedModel

from kvpress_models import pressed_layers
from neox_as_llama import channel_order
from parity import SMALL, Case, Subject

PIECES = (0.5, 1.0)  # where the two texts end, as shares of the context
SINK, RECENT = 8, 32
N_SINK = 4  # first tokens of a text whose queries are left out of the statistics

parts: dict[str, dict[str, torch.Tensor]] = {}  # by model, channels in kvpress's order


def texts_of(subject: Subject) -> list[torch.Tensor]:
    ends = [int(subject.context * share) for share in PIECES]
    return [subject.ids[:, : ends[0]], subject.ids[:, ends[0] : ends[1]]]


@contextmanager
def replaced(module: Any, **values: Any) -> Iterator[None]:
    old = {name: getattr(module, name) for name in values}
    for name, value in values.items():
        setattr(module, name, value)
    yield
    for name, value in old.items():
        setattr(module, name, value)


def tokenized(tokens: torch.Tensor, return_tensors: str) -> BatchEncoding:
    return BatchEncoding({"input_ids": tokens})


class Texts(dict):
    """What kvpress takes for a data set, whose texts are tokens already."""

    def map(self, _function: Any) -> "Texts":
        return self

    def to_pandas(self) -> "Texts":
        return self

    def sample(self, _n: int, random_state: int) -> dict[str, Any]:
        return {"chapter": SimpleNamespace(tolist=lambda: self["chapter"])}


def loaders(texts: list[torch.Tensor]) -> dict[str, Any]:
    return {
        "AutoTokenizer": SimpleNamespace(from_pretrained=lambda _name: tokenized),
        "load_dataset": lambda *_args, **_kwargs: Texts(chapter=texts),
    }


class WithHiddenStates:
    """The model with every layer's input in its output, also where transformers does not know the layers."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.whole, self.model, self.config, self.device = model, model.model, model.config, model.device

    def __call__(self, **kwargs: Any) -> SimpleNamespace:
        seen: list[torch.Tensor] = []
        hooks = [
            layer.register_forward_pre_hook(
                lambda _m, args, kwargs: seen.append(args[0] if args else kwargs["hidden_states"]), with_kwargs=True)
            for layer in self.model.layers
        ]
        self.whole(input_ids=kwargs["input_ids"])
        for hook in hooks:
            hook.remove()
        return SimpleNamespace(hidden_states=[*seen, None])


def statistics(model: PreTrainedModel, texts: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    with replaced(expected_attention_with_stats, **loaders(texts)):
        _, mean, cov = expected_attention_with_stats.collect_queries(model, "", len(texts), 0, N_SINK)
    return {"query_mean": mean, "query_cov": cov}


def duo_scores(model: PreTrainedModel, texts: list[torch.Tensor]) -> torch.Tensor:
    with replaced(duo_attention_press, **loaders(texts)):
        on_the_fly = duo_attention_press.duo_attention_on_the_fly.__wrapped__
        return torch.tensor(on_the_fly(WithHiddenStates(model), num_samples=len(texts)))


def q_filters(model: PreTrainedModel, texts: list[torch.Tensor]) -> torch.Tensor:
    """As the paper has it: of each query head the first right singular vector, turned so that the queries lie on its
    positive side; mean over the group. Published filters point the other way."""
    modeling = sys.modules[type(model).__module__]
    original, seen = modeling.apply_rotary_pos_emb, []

    def keep(*args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        q, k = original(*args, **kwargs)
        seen.append(q[0].double())
        return q, k

    with replaced(modeling, apply_rotary_pos_emb=keep):
        for text in texts:
            model(text)
    n_layers = model.config.num_hidden_layers
    filters = []
    for layer in range(n_layers):
        queries = torch.cat(seen[layer::n_layers], dim=1)  # [H, n, d]
        first = torch.linalg.svd(queries, full_matrices=False).Vh[:, 0]
        side = torch.einsum("hnd,hd->h", queries, first).sign()
        toward = first * side.unsqueeze(1)
        filters.append(-toward.view(model.config.num_key_value_heads, -1, toward.shape[-1]).mean(1))
    return torch.stack(filters)


def kvzap(model: PreTrainedModel, kind: str) -> KVzapModel:
    """Random weights, in bfloat16 as published."""
    c = model.config
    made = KVzapModel(KVzapConfig(input_dim=c.hidden_size, output_dim=c.num_key_value_heads, n_modules=c.num_hidden_layers,
                                  hidden_dim=24 if kind == "mlp" else None))
    generator = torch.Generator().manual_seed(11)
    for p in made.parameters():
        p.data = (torch.randn(p.shape, generator=generator) / p.shape[-1] ** 0.5).bfloat16()
    return made.eval()


def kvzap_fit(model: PreTrainedModel, texts: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """The linear model as kvpress trains it, on texts that are repeated without being asked for: the score of token j is
    the largest over the repetition and the group of A[t, j] / ||h_t|| * ||W_o v_j||, h what attention reads; ridge
    regression of its logarithm on h_j, with a penalty of 1 and an intercept without. In double precision."""
    c = model.config
    group = c.num_attention_heads // c.num_key_value_heads
    rows: list[tuple[list[torch.Tensor], list[torch.Tensor]]] = [([], []) for _ in model.model.layers]
    for text in texts:
        n = text.shape[1]

        def hook(module, _args, kwargs, output, n=n):
            hidden = kwargs["hidden_states"][0].double()
            weights = output[1][0, :, n:, :n].double()  # [H, n queries, n]
            values = module.v_proj(kwargs["hidden_states"])[0, :n].double().view(n, c.num_key_value_heads, -1)
            out = module.o_proj.weight.double().view(c.hidden_size, c.num_attention_heads, -1)
            norms = torch.einsum("chd,nhd->hnc", out, values.repeat_interleave(group, dim=1)).norm(dim=-1)
            scores = (weights / hidden[n:].norm(dim=-1)[None, :, None] * norms[:, None]).amax(1)
            scores = scores.view(c.num_key_value_heads, group, n).amax(1)
            inputs, outputs = rows[module.layer_idx]
            inputs.append(hidden[:n])
            outputs.append(scores.log().T)

        hooks = [layer.self_attn.register_forward_hook(hook, with_kwargs=True) for layer in model.model.layers]
        model(torch.cat([text, text], dim=1))
        for it in hooks:
            it.remove()
    fitted = {}
    for i, (inputs, outputs) in enumerate(rows):
        if i not in pressed_layers(model):  # of which no entry is scored
            fitted[f"layers.{i}.weight"] = torch.zeros(c.num_key_value_heads, c.hidden_size)
            fitted[f"layers.{i}.bias"] = torch.zeros(c.num_key_value_heads)
            continue
        x, y = torch.cat(inputs), torch.cat(outputs)
        xc, yc = x - x.mean(0), y - y.mean(0)
        weight = torch.linalg.solve(xc.T @ xc + torch.eye(x.shape[1]).double(), xc.T @ yc).T
        fitted[f"layers.{i}.weight"] = weight.float()
        fitted[f"layers.{i}.bias"] = (y.mean(0) - weight @ x.mean(0)).float()
    return fitted


def own_order(tensor: torch.Tensor, name: str, model: PreTrainedModel, dims: tuple[int, ...]) -> torch.Tensor:
    if not name.startswith("neox"):
        return tensor
    rotary = 2 * model.model.rotary_emb.original.inv_freq.shape[0]
    inverse = channel_order(model.config.head_dim, rotary).argsort()
    for dim in dims:
        tensor = tensor.index_select(dim, inverse)
    return tensor


def prepare(out: Path, subjects: dict[str, Subject]) -> None:
    for name, subject in subjects.items():
        model, texts = subject.models["sdpa"], texts_of(subject)
        folder = out / "trained" / name
        folder.mkdir(parents=True, exist_ok=True)

        def save(file: str, tensors: dict[str, torch.Tensor]) -> None:
            save_file({k: v.contiguous() for k, v in tensors.items()}, folder / f"{file}.safetensors", {"format": "pt"})

        filters = q_filters(model, texts).float()
        heads = duo_scores(model, texts).float()
        parts[name] = {"q_filters": filters, "heads": heads, "context": duo_scores(model, [subject.ids[:, : subject.context]])}
        save("qfilter", {"q_filters": own_order(filters, name, model, (2,))})
        save("duo_attention", {"head_scores": heads, "sink_size": torch.tensor([SINK * 1.0]),
                               "recent_size": torch.tensor([RECENT * 1.0])})
        save("kvzap_linear", kvzap(model, "linear").state_dict())
        if name in SMALL:
            save("kvzap_mlp", kvzap(model, "mlp").state_dict())
            save("kvzap_fitted", kvzap_fit(subject.models["eager"], texts))
            stats = statistics(model, texts)
            parts[name] |= stats
            save("expected_attention", {"query_mean": own_order(stats["query_mean"], name, model, (2,)),
                                        "query_cov": own_order(stats["query_cov"], name, model, (2, 3))})
        published = folder / "duo_published"
        published.mkdir(exist_ok=True)
        np.savetxt(published / "full_attention_heads.tsv", 3 * heads.numpy() - 1, delimiter="\t")  # some outside 0 to 1
        (published / "config.json").write_text(f'{{"sink_size": {SINK // 2}, "recent_size": {RECENT}}}\n')


def ours(text: str, file: str) -> Any:
    return lambda name, _ratio: text.replace("FILE", f"{{data}}/trained/{name}/{file}")


def qfilter(ratio: float, name: str) -> QFilterPress:
    press = QFilterPress(ratio)
    press.post_init_from_model = lambda _model: None
    press.q_filters = parts[name]["q_filters"]
    return press


def expected(ratio: float, name: str, **settings: Any) -> ExpectedAttentionStatsPress:
    press = ExpectedAttentionStatsPress(ratio, **settings)
    press.mu, press.cov = parts[name]["query_mean"], parts[name]["query_cov"]
    return press


def zap(kind: str) -> Any:
    def make(ratio: float, name: str) -> KVzapPress:
        press = KVzapPress(ratio, model_type=kind)

        def init(model: PreTrainedModel) -> None:
            press.kvzap_model = kvzap(model, kind)

        press.post_init_from_model = init
        return press

    return make


class Duo(DuoAttentionPress):
    """Chooses among the heads of layers without a window."""

    def post_init_from_model(self, model: PreTrainedModel) -> None:
        pressed = pressed_layers(model)
        if len(pressed) == model.config.num_hidden_layers:
            return super().post_init_from_model(model)
        self.sink_size, self.recent_size, scores = self.load_attention_pattern(model)
        streaming = torch.zeros(scores[pressed].size, dtype=torch.bool)
        streaming[np.argsort(scores[pressed], axis=None)[: round(streaming.numel() * self.head_compression_ratio)]] = True
        self.streaming_mask = torch.zeros(scores.shape, dtype=torch.bool)
        self.streaming_mask[pressed] = streaming.view(len(pressed), -1)


def duo(share: float, name: str, sink: int = SINK, recent: int = RECENT, published: bool = False,
        heads: str = "heads") -> DuoAttentionPress:
    press = Duo(head_compression_ratio=share)
    scores = parts[name][heads].double().numpy()
    if published:
        scores = np.clip(3 * scores - 1, 0, 1)
    press.load_attention_pattern = lambda _model: (sink, recent, scores)
    init = press.post_init_from_model

    def with_stable_sort(model: PreTrainedModel) -> None:
        """Clipped scores tie. Which of them come first, numpy's default sort leaves open beyond 16 heads; here the first."""
        stable = SimpleNamespace(argsort=lambda a, axis: np.argsort(a, axis=axis, kind="stable"),
                                 unravel_index=np.unravel_index)
        with replaced(duo_attention_press, np=stable):
            init(model)

    press.post_init_from_model = with_stable_sort
    return press


def duo_on_the_fly(ratio: float, name: str) -> DuoAttentionPress:
    """kvpress takes the scores from texts of its own; here they come from the context. Its 128 and 256 tokens are more
    than the small models' contexts."""
    press = DuoAttentionPress(head_compression_ratio=ratio, on_the_fly_scoring=True)
    if name == "parity-gemma3":  # among the heads of full layers, as below
        return duo(ratio, name, heads="context")
    init = press.post_init_from_model

    def smaller(model: PreTrainedModel) -> None:
        with replaced(duo_attention_press, duo_attention_on_the_fly=lambda _model: parts[name]["context"].numpy()):
            init(model)
        press.sink_size, press.recent_size = SINK, RECENT

    press.post_init_from_model = smaller
    return press


CASES = [
    Case("qfilter", ours("qfilter(file=FILE)", "qfilter.safetensors"), qfilter),
    Case("adakv_qfilter", ours("adakv(qfilter(file=FILE))", "qfilter.safetensors"), lambda r, m: AdaKVPress(qfilter(r, m)),
         models=SMALL),
    Case("expected_attention_stats", ours("expected_attention(stats=FILE)", "expected_attention.safetensors"),
         lambda r, m: expected(r, m), models=SMALL),
    Case("expected_attention_stats_mean",
         ours("expected_attention(stats=FILE, use_covariance=false, n_sink=8, n_future_positions=64)",
              "expected_attention.safetensors"),
         lambda r, m: expected(r, m, use_covariance=False, n_sink=8, n_future_positions=64), models=SMALL),
    # In the first layer the score depends on the token alone: at 0.5 the cut goes through 34 tokens that are the same, of
    # which kvpress keeps 22, any of them.
    Case("kvzap_linear", ours("kvzap(model_type=linear, file=FILE)", "kvzap_linear.safetensors"), zap("linear"),
         first_slack=12),
    Case("kvzap_mlp", ours("kvzap(file=FILE)", "kvzap_mlp.safetensors"), zap("mlp"), models=SMALL),
    Case("duo_attention", ours("duo_attention(file=FILE)", "duo_attention.safetensors"), lambda r, m: duo(r, m)),
    Case("duo_attention_sizes",
         ours("duo_attention(file=FILE, head_compression_ratio=0.9, sink_size=1, recent_size=64)",
              "duo_attention.safetensors"),
         lambda r, m: duo(0.9, m, 1, 64), ratios=(0.5,)),
    Case("duo_attention_published", ours("duo_attention(file=FILE)", "duo_published"),
         lambda r, m: duo(r, m, SINK // 2, published=True)),
    Case("duo_attention_on_the_fly", f"duo_attention(on_the_fly=true, sink_size={SINK}, recent_size={RECENT})",
         duo_on_the_fly),
]

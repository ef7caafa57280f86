#!/usr/bin/env python3
"""Writes tests/data/tokenizer/special_tokens.json: what transformers makes of special tokens in the files beside a
tokenizer.json, of its post-processor and of bytes that are not in its vocabulary.

Needs transformers 5.2 (without torch). Each case has the files that are changed or added, and for each text the ids with
and without the tokens that are put around it.
"""
import json
import random
import tempfile
import warnings
from pathlib import Path

from transformers import PreTrainedTokenizerFast

warnings.filterwarnings("ignore")
ROOT = Path(__file__).resolve().parent.parent
SMALL = json.loads((ROOT / "tests/data/tokenizer/small.json").read_text())
N = len(SMALL["model"]["vocab"])

TEXTS = [
    "The town<|im_start|>user\nWhat is it?<|im_end|>\n<|im_start|>assistant\n",
    "a <x> b  <x>  c<x>d",
    "x<y>the<y> the <y>",
    "<s>The king</s> <pad><unk>",
    "",
]


def token(content, **flags):
    """An added token with all flags, as files have it."""
    base = {"content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {**base, **flags}


def typed(content, **flags):
    return {"__type": "AddedToken", **token(content, **flags)}


def added(*tokens):
    """Changes tokenizer.json's added_tokens."""
    document = json.loads(json.dumps(SMALL))
    document["added_tokens"] += [{"id": N + i, **it} for i, it in enumerate(tokens)]
    return document


def changed(**changes):
    document = json.loads(json.dumps(SMALL))
    for path, value in changes.items():
        at = document
        keys = path.split("__")
        for key in keys[:-1]:
            at = at[key]
        at[keys[-1]] = value
    return document


def template(*single, **special):
    return {
        "type": "TemplateProcessing",
        "single": list(single),
        "pair": list(single),
        "special_tokens": {name: {"id": name, "ids": ids, "tokens": [name] * len(ids)} for name, ids in special.items()},
    }


A = {"Sequence": {"id": "A", "type_id": 0}}


def piece(name):
    return {"SpecialToken": {"id": name, "type_id": 0}}


def without(*characters, **changes):
    """A vocabulary that lacks characters, and all that is made of them."""
    document = changed(**changes)
    vocabulary = document["model"]["vocab"]
    gone = {it for it in vocabulary if any(c in it for c in characters) and not it.startswith("<")}
    kept = [it for it in sorted(vocabulary, key=vocabulary.get) if it not in gone]
    document["model"]["vocab"] = {it: i for i, it in enumerate(kept)}
    document["model"]["merges"] = [
        it for it in document["model"]["merges"] if not gone & {it[0], it[1], it[0] + it[1]}
    ]
    return document


def with_tokens(document, *tokens):
    vocabulary = document["model"]["vocab"]
    for it in tokens:
        vocabulary.setdefault(it, len(vocabulary))
    return document


CONFIG, MAP, ADDED, TOKENIZER = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.json"
IM = ["<|im_start|>", "<|im_end|>"]

CASES = {
    "nothing beside": {},
    "list of additional tokens": {CONFIG: {"additional_special_tokens": IM}},
    "list of extra tokens": {CONFIG: {"extra_special_tokens": IM}},
    "extra before additional": {CONFIG: {"extra_special_tokens": IM[:1], "additional_special_tokens": IM}},
    "extra by names": {CONFIG: {"extra_special_tokens": {"z_token": IM[1], "a_token": IM[0]}}},
    "tokens by keys": {CONFIG: {"z_token": IM[1], "a_token": IM[0], "b_token": typed("<x>", lstrip=True)}},
    "keys and names": {CONFIG: {"z_token": IM[1], "extra_special_tokens": {"y_token": IM[0]}, "x_token": "<y>"}},
    "objects in the list": {CONFIG: {"additional_special_tokens": [typed("<x>", lstrip=True, rstrip=True), typed("<y>", special=False)]}},
    "named tokens": {CONFIG: {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}},
    "named objects": {CONFIG: {"bos_token": typed("<s>", rstrip=True), "eos_token": typed("</s>", lstrip=True), "pad_token": typed("<pad>", special=False)}},
    "decoder": {CONFIG: {"added_tokens_decoder": {str(N): token(IM[0]), str(N + 1): token(IM[1])}}},
    "decoder out of order": {CONFIG: {"added_tokens_decoder": {str(N + 7): token(IM[0]), str(N + 3): token(IM[1])}}},
    "decoder with strip": {CONFIG: {"added_tokens_decoder": {str(N): token("<x>", lstrip=True), str(N + 1): token("<y>", rstrip=True, single_word=True)}}},
    "decoder not special": {CONFIG: {"added_tokens_decoder": {str(N): token("<x>", special=False, normalized=True)}, "bos_token": "<x>"}},
    "decoder changes a token": {
        TOKENIZER: added(token("<x>"), token("<y>")),
        CONFIG: {"added_tokens_decoder": {str(N): token("<x>", lstrip=True, rstrip=True), str(N + 1): token("<y>", special=False)}},
    },
    "decoder hides the map": {
        CONFIG: {"added_tokens_decoder": {str(N): token(IM[0])}},
        MAP: {"additional_special_tokens": IM[1:], "eos_token": "</s>"},
        ADDED: {"<x>": N + 1},
    },
    "map": {MAP: {"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": True, "rstrip": False, "normalized": True, "single_word": False}}},
    "map with a list": {MAP: {"additional_special_tokens": IM}},
    "map against config": {CONFIG: {"additional_special_tokens": IM[:1], "eos_token": "</s>"}, MAP: {"additional_special_tokens": IM[1:], "eos_token": "<x>"}},
    "map with extra": {CONFIG: {"extra_special_tokens": IM[:1]}, MAP: {"extra_special_tokens": [{"content": "<x>", "rstrip": True}, IM[1]]}},
    "added": {ADDED: {"<y>": N + 1, "<x>": N}},
    "added and named": {ADDED: {"<s>": N, "<x>": N + 1}, MAP: {"bos_token": "<s>"}},
    "added in the list": {ADDED: {IM[0]: N + 1, IM[1]: N}, CONFIG: {"additional_special_tokens": IM}},
    "a word of the vocabulary": {CONFIG: {"additional_special_tokens": [" the", "town"], "eos_token": "the"}},
    "split special": {CONFIG: {"split_special_tokens": True, "additional_special_tokens": IM}},
    "padding": {TOKENIZER: changed(padding={"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "<pad>"})},
    "add_bos_token": {CONFIG: {"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": True, "add_eos_token": True}},
    "template before": {TOKENIZER: {**added(token("<s>")), "post_processor": template(piece("<s>"), A, **{"<s>": [N]})}, CONFIG: {"bos_token": "<s>"}},
    "template around": {
        TOKENIZER: {**added(token("<s>"), token("</s>")), "post_processor": template(piece("<s>"), A, piece("</s>"), **{"<s>": [N], "</s>": [N + 1, N + 1]})},
        CONFIG: {"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": False},
    },
    "template in a row": {
        TOKENIZER: {
            **added(token("<s>"), token("</s>")),
            "post_processor": {
                "type": "Sequence",
                "processors": [
                    {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
                    template(piece("<s>"), A, **{"<s>": [N]}),
                ],
            },
        }
    },
    "unknown bytes": {TOKENIZER: with_tokens(without("x", "h", model__unk_token="<unk>"), "<unk>")},
    "unknown bytes fused": {TOKENIZER: with_tokens(without("x", "h", "t", "e", model__unk_token="<unk>", model__fuse_unk=True), "<unk>")},
    "no unknown token": {TOKENIZER: without("x", "h")},
    "fallback": {TOKENIZER: with_tokens(without("x", "h", "\u0120", model__byte_fallback=True), "<0x78>", "<0xC4>", "<0xA0>")},
    "fallback and unknown": {
        TOKENIZER: with_tokens(without("x", "h", "e", "\u0120", model__byte_fallback=True, model__unk_token="<unk>"), "<0x78>", "<0xC4>", "<0xA0>", "<unk>")
    },
}


def random_cases(n):
    """Files that contradict each other at random."""
    random.seed(7)
    contents = ["<x>", "<y>", "<s>", "</s>", "<pad>", *IM, " the", "town", "<|endoftext|>"]
    flag = lambda: random.random() < 0.3
    some = lambda: token(random.choice(contents), single_word=flag(), lstrip=flag(), rstrip=flag(), normalized=flag(), special=not flag())
    for i in range(n):
        files = {}
        if random.random() < 0.5:
            picked = {it["content"]: it for it in (some() for _ in range(3)) if it["content"] != "<|endoftext|>"}
            files[TOKENIZER] = added(*[it for it in picked.values() if it["content"] not in SMALL["model"]["vocab"]])
        config = {}
        for key in ("bos_token", "eos_token", "pad_token", "image_token", "audio_token"):
            if random.random() < 0.3:
                it = some()
                config[key] = it["content"] if flag() else {"__type": "AddedToken", **it}
        if flag():
            config["additional_special_tokens"] = [some()["content"] if flag() else {"__type": "AddedToken", **some()} for _ in range(2)]
        if flag():
            config["extra_special_tokens"] = {"v_token": random.choice(contents), "c_token": random.choice(contents)}
        if flag():
            config["added_tokens_decoder"] = {str(N + random.randrange(6)): some() for _ in range(3)}
        files[CONFIG] = config
        if flag():
            files[MAP] = {"eos_token": random.choice(contents), "additional_special_tokens": [random.choice(contents)]}
        if flag():
            files[ADDED] = {random.choice(contents): N + j for j in range(2)}
        yield f"random {i}", files


def patched(document):
    """What of a changed tokenizer.json differs from small.json."""
    patch = {}
    for key, value in document.items():
        if key == "model":
            patch[key] = {k: v for k, v in value.items() if k not in ("vocab", "merges") and v != SMALL["model"].get(k)}
            gone = [it for it in SMALL["model"]["vocab"] if it not in value["vocab"]]
            if gone or len(value["vocab"]) != N:
                new = sorted((it for it in value["vocab"] if it not in SMALL["model"]["vocab"]), key=value["vocab"].get)
                patch["without"], patch["with"] = sorted({c for c in "xhte\u0120" if c in gone}), new
        elif value != SMALL.get(key):
            patch[key] = value
    return patch


def main():
    cases = []
    for name, files in [*CASES.items(), *random_cases(60)]:
        with tempfile.TemporaryDirectory() as folder:
            for file, content in {TOKENIZER: SMALL, **files}.items():
                (Path(folder) / file).write_text(json.dumps(content))
            tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
            results = []
            for text in TEXTS:
                ids = tokenizer(text)["input_ids"]
                results.append({
                    "ids": ids,
                    "inner": tokenizer(text, add_special_tokens=False)["input_ids"],
                    "shown": tokenizer.decode(ids, skip_special_tokens=True),
                })
            # As text: the order of keys matters.
            files = {file: patched(content) if file == TOKENIZER else json.dumps(content) for file, content in files.items()}
            cases.append({"name": name, "files": files, "texts": results, "bos": tokenizer.bos_token_id, "size": len(tokenizer)})
    path = ROOT / "tests/data/tokenizer/special_tokens.json"
    path.write_text(json.dumps({"texts": TEXTS, "cases": cases}, ensure_ascii=False, indent=None, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size, "bytes,", len(cases), "cases")


if __name__ == "__main__":
    main()

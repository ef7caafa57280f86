#!/usr/bin/env python3
"""Makes tests/data/tokenizer: what the reference implementation (the `tokenizers` package) makes of hostile text.

    python tools/make_tokenizer_references.py --neox TOKENIZER_JSON [--smollm2 GGUF] [--keep-small]

Packages: tokenizers==0.22.2; for --smollm2 also gguf==0.19.0. `small.json` is a vocabulary trained on the PG19 text
that ships; the variants in `references.json` are other pipelines around it. Ids are of encode(add_special_tokens=False).
"""

import argparse
import base64
import json
import os
import random
import shutil

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUT = os.path.join(ROOT, "tests", "data", "tokenizer")

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
GPT4O = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
QWEN35 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
TEKKEN = GPT4O.replace(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?", "").replace(r"\p{N}{1,3}", r"\p{N}")
DEEPSEEK3 = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"""
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEEPSEEK_HAN = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
# Letters of scripts with two cases, as DeepSeek LLM lists them.
DEEPSEEK_LETTERS = (
    "[A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376"
    "\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-"
    "\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a"
    "\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4"
    "\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc"
    "\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f"
    "\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b"
    "\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a"
    "\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2"
    "\U000118a0-\U000118df\U0001e900-\U0001e943]"
)

# Spaces of every kind, signs that are none, marks that reorder or compose, characters younger than some libraries'
# tables, unassigned ones, and what the patterns look for.
POOL = (
    [" ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", "\r", "\x00", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x1f"]
    + ["\x85", "\xa0", "\u1680", "\u180e", "\u2003", "\u200b", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"]
    + ["\ufeff", "\ufffd", "\ufffe", "\u0378", "\U0010ffff", "\ue000", "\U000e0001", "\u202e"]
    + ["a", "the", " The", "Hello", "wOrLd", "'s", "'S", "'ll", "'LL", "'\u017f", "n't", "1", "12", "1234", "3.14"]
    + ["\u0661\u0662", "\u00b2", "\u2167", "\u00bd", "\U00011f50", "\U00011de1", "\U0001d7ce", "!", "...", "?!", "_"]
    + ["\u00e9", "e\u0301", "\u0301", "\u0315", "\u0334", "\u1e9b\u0323", "\u212b", "\u212a", "\u2126", "\u0344"]
    + ["\ufb01", "\u1100\u1161\u11a8", "\uac00\u11a8", "\u3042\u3099", "\u4e2d\u6587", "\U00031350", "\u0cca\u0cd5"]
    + ["\U00011935\U00011930", "a\u0315\u0898", "\u07fd\u0334", "\u05e9\u05dc\u05d5\u05dd", "\u0645\u0631\u062d"]
    + ["\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f44d\U0001f3fd", "\U0001f1e9\U0001f1ea", "\u2019", "\u2014"]
)
BROKEN = [b"\x80", b"\xbf", b"\xc0\x80", b"\xe0\x80\x80", b"\xe0\x9f\xbf", b"\xed\xa0\x80", b"\xed\xa0\xbd\xed\xb8\x80"]
BROKEN += [b"\xf0\x80\x80\x80", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xff", b"\xe2\x82"]
BROKEN += [b"\xf0\x9f\x98", b"\xf0\x9f", b"\xf0", b"\xc3", b"abc", b" ", b"\xe2\x82\xac", b"\n", b"\xf0\x9f\x98\x80"]


def texts(tokens, seed, n_random, n_broken):
    """Byte strings; `tokens` are added tokens to scatter in them."""
    rnd = random.Random(seed)
    pool = POOL + [piece for token in tokens for piece in (token, " " + token, token + " ", token[:-1])]
    out = [b"", b" ", b"\n", b"Hello, world! It's 2024 and he'll pay $1,234.56.", b"a" * 300, b" " * 100 + b"x", b"\t" * 70]
    for _ in range(n_random):
        out.append("".join(rnd.choice(pool) for _ in range(rnd.randint(2, 20))).encode())
    for _ in range(n_broken):
        out.append(b"".join(rnd.choice(BROKEN) for _ in range(rnd.randint(1, 10))))
    return out


def reference(tokenizer, text):
    return tokenizer.encode(text.decode("utf-8", errors="replace"), add_special_tokens=False).ids


def cases(tokenizer, seed, n_random=60, n_broken=20):
    tokens = [t.content for t in tokenizer.get_added_tokens_decoder().values()][:12]
    made = texts(tokens, seed, n_random, n_broken)
    return [[base64.b64encode(text).decode(), reference(tokenizer, text)] for text in made]


def fnv1a(ids):
    value = 0xCBF29CE484222325
    for i in ids:
        for byte in i.to_bytes(4, "little"):
            value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return format(value, "016x")


def shipped():
    """The data that ship, joined as they are scored."""

    def rows(path):
        with open(os.path.join(ROOT, "data", path), encoding="utf-8") as file:
            return [json.loads(line)["text"] for line in file]

    return {"wikitext": "\n\n".join(rows("wikitext-103-v1/test.jsonl")), "pg19": rows("pg19/test.jsonl")[0]}


def whole(tokenizer, seed):
    data = {}
    for name, text in shipped().items():
        ids = reference(tokenizer, text.encode())
        data[name] = {"n": len(ids), "fnv1a64": fnv1a(ids)}
    return {"cases": cases(tokenizer, seed), "data": data}


def train_small():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1000,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(shipped().values(), trainer)
    return tokenizer


def byte_level(**options):
    return pre_tokenizers.ByteLevel(**{"add_prefix_space": False, **options})


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(pattern, behavior, invert), byte_level(use_regex=False)])


def splits(*patterns):
    parts = [pre_tokenizers.Split(pattern, "isolated") for pattern in patterns]
    return pre_tokenizers.Sequence([*parts, byte_level(use_regex=False)])


def sequence(*parts):
    return pre_tokenizers.Sequence(list(parts))


ADDED = [
    AddedToken("<|left|>", lstrip=True, normalized=False, special=True),
    AddedToken("<|right|>", rstrip=True, normalized=False, special=True),
    AddedToken("<|both|>", lstrip=True, rstrip=True, normalized=False),
    AddedToken("word", single_word=True, normalized=False),
    AddedToken("Wort", single_word=True, normalized=True, lstrip=True),
    AddedToken("<a>", normalized=False),
    AddedToken("<a><b>", normalized=False),
    AddedToken("the", normalized=True),
    AddedToken("cafe\u0301", normalized=True),
    AddedToken("e\u0301t\u00e9", normalized=False),
    AddedToken("    ", normalized=True),
    AddedToken("  ", normalized=True),
    AddedToken("\n\n", normalized=False, rstrip=True),
]


def variants():
    """(name, normalizer, pre-tokenizer, ignore_merges, added tokens)"""
    gpt2 = byte_level()
    nfc = normalizers.NFC()
    yield "llama3", None, split(Regex(LLAMA3)), True, []
    yield "llama3_inverted", None, split(Regex(LLAMA3), "removed", True), False, []
    yield "gpt4o", None, split(Regex(GPT4O)), False, []
    yield "nfc", nfc, gpt2, False, []
    yield "nfc_sequence", normalizers.Sequence([normalizers.Sequence([nfc])]), gpt2, False, []
    yield "no_regex", None, byte_level(use_regex=False), False, []
    yield "prefix_space", None, byte_level(add_prefix_space=True), False, []
    yield "digits", None, sequence(pre_tokenizers.Digits(True), gpt2), False, []
    yield "digits_prefix", None, sequence(pre_tokenizers.Digits(True), byte_level(add_prefix_space=True)), False, []
    yield "numbers", None, sequence(pre_tokenizers.Digits(False), gpt2), False, []
    for behavior in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"):
        for invert in (False, True):
            yield f"{behavior}_{invert}", None, split(Regex(r"[\s.]"), behavior, invert), False, []
    yield "literal", None, split("e", "merged_with_next"), False, []
    yield "literal_dots", None, split("...", "isolated"), False, []
    yield "empty_matches", None, split(Regex(r"\s*"), "isolated"), False, []
    yield "lines", None, split(Regex(r"^.|.$|(?i:k|ss|\u00e9)".replace("\\u00e9", "\u00e9")), "isolated"), False, []
    yield "three_steps", nfc, sequence(
        pre_tokenizers.Split(Regex(r"\p{N}{1,3}"), "isolated"),
        pre_tokenizers.Split(Regex(r"[\u4e00-\u9fa5]+".encode().decode("unicode_escape")), "isolated"),
        pre_tokenizers.Split(Regex(r" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"), "isolated"),
        byte_level(use_regex=False),
    ), False, []
    yield "added", None, gpt2, False, ADDED
    yield "added_nfc", nfc, gpt2, False, ADDED
    yield "qwen2", nfc, split(Regex(QWEN2)), False, []
    yield "qwen35", nfc, split(Regex(QWEN35)), False, []
    yield "tekken", None, split(Regex(TEKKEN)), True, []
    yield "deepseek-v3", None, splits(Regex(r"\p{N}{1,3}"), Regex("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"), Regex(DEEPSEEK3)), False, []
    yield "deepseek-coder", None, splits(
        Regex(r"[\r\n]"), Regex(r"\s?\p{L}+"), Regex(r"\s?\p{P}+"), Regex(DEEPSEEK_HAN), Regex(r"\p{N}")), False, []
    yield "deepseek-llm", None, splits(
        Regex(r"[\r\n]"), Regex(r"\s?" + DEEPSEEK_LETTERS + "+"), Regex("\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"),
        Regex(r"\s+$"), Regex(DEEPSEEK_HAN), Regex(r"\p{N}+")), False, []


def variant(small, name, normalizer, pre_tokenizer, ignore_merges, added, seed):
    document = json.loads(small)
    document["model"]["ignore_merges"] = ignore_merges
    tokenizer = Tokenizer.from_str(json.dumps(document))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    if added:
        tokenizer.add_tokens(added)
    parts = json.loads(tokenizer.to_str())
    return {
        "name": name,
        "normalizer": parts["normalizer"],
        "pre_tokenizer": parts["pre_tokenizer"],
        "ignore_merges": ignore_merges,
        "added_tokens": parts["added_tokens"],
        "cases": cases(tokenizer, seed, n_random=16, n_broken=2),
    }


def smollm2(path):
    """transformers reads this GGUF with another pre-tokenizer than the model was trained with; hence built by hand."""
    import gguf

    reader = gguf.GGUFReader(path)

    def get(key):
        return reader.get_field("tokenizer.ggml." + key).contents()

    tokens = get("tokens")
    merges = [tuple(line.split(" ")) for line in get("merges")]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = sequence(pre_tokenizers.Digits(True), byte_level())
    special = [token for token, kind in zip(tokens, get("token_type")) if kind == 3]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--neox", required=True, help="tokenizer.json of EleutherAI/gpt-neox-20b")
    parser.add_argument("--smollm2", help="SmolLM2-135M-Instruct as a GGUF; without it its references stay as they are")
    parser.add_argument("--keep-small", action="store_true", help="do not train small.json anew")
    args = parser.parse_args()

    os.makedirs(OUT, exist_ok=True)
    target = os.path.join(OUT, "references.json")
    document = {}
    if os.path.exists(target):
        with open(target, encoding="utf-8") as file:
            document = json.load(file)

    shutil.copyfile(args.neox, os.path.join(OUT, "gpt-neox-20b.json"))
    document["gpt-neox-20b"] = whole(Tokenizer.from_file(args.neox), 1)
    demo = os.path.join(ROOT, "models", "kvpress-demo", "tokenizer.json")
    document["kvpress-demo"] = whole(Tokenizer.from_file(demo), 2)
    if args.smollm2:
        document["smollm2"] = whole(smollm2(args.smollm2), 3)

    small_path = os.path.join(OUT, "small.json")
    if not args.keep_small:
        train_small().save(small_path, pretty=False)
    with open(small_path, encoding="utf-8") as file:
        small = file.read()
    document["variants"] = [variant(small, *it, seed=100 + i) for i, it in enumerate(variants())]

    with open(target, "w", encoding="ascii") as file:  # a line a case
        file.write(json.dumps(document, separators=(",", ":")).replace('],["', '],\n["') + "\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Makes tests/data/tokenizer/sentencepiece: small models of SentencePiece and of `tokenizers` that are not byte-level,
and what the reference implementations make of hostile text.

    python tools/make_sentencepiece_references.py [--keep-models] [--llama LIBRARY]

Packages: tokenizers==0.22.2, sentencepiece==0.2.0, protobuf, mistral-common==1.13.1; with --llama also gguf==0.19.0 and the library within
xllamacpp==2026.10.11549 (without it the references of llama.cpp stay as they are). The models are trained on the PG19 text that ships.
"""

import argparse
import base64
import ctypes
import json
import os
import tempfile

import numpy
import sentencepiece as spm
from sentencepiece import sentencepiece_model_pb2 as proto
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from make_tokenizer_references import ROOT, fnv1a, shipped, texts

OUT = os.path.join(ROOT, "tests", "data", "tokenizer", "sentencepiece")

# Rules as SentencePiece compiles them: what is rewritten and what it becomes, in hexadecimal code points.
RULES = "\n".join(
    ["C4\t41 308", "E9\t65 301", "65 301\t45", "FB01\t66 69", "3000\t20", "9\t20", "AD\t", "2003\t20 20", "1F468 200D 1F469\t21"]
    + ["FF%02X\t%X" % (code - 0x20, code) for code in range(0x30, 0x3A)]
)

TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BASE = {"vocab_size": 600, "hard_vocab_limit": False, "character_coverage": 0.9995, "num_threads": 1, "max_sentence_length": 20000}
TRAINED = {
    # as Llama 2 and Mistral
    "bpe": {
        "model_type": "bpe", "byte_fallback": True, "vocab_size": 900, "remove_extra_whitespaces": False, "split_digits": True,
        "normalization_rule_name": "identity", "allow_whitespace_only_pieces": True,
        "user_defined_symbols": ["<sep>", "<sep><sep>", "\u2581\u2581\u2581\u2581", "the"], "control_symbols": ["<ctl>"],
    },
    # characters that are no token, rules, and spaces that are joined
    "bpe-unknown": {"model_type": "bpe", "rules": True, "user_defined_symbols": ["\u00e9", "a b"]},
    # as Gemma 2: no space before the text
    "bpe-no-prefix": {"model_type": "bpe", "byte_fallback": True, "add_dummy_prefix": False, "remove_extra_whitespaces": False,
                      "normalization_rule_name": "identity", "vocab_size": 800},
    "unigram": {"model_type": "unigram", "byte_fallback": True, "vocab_size": 800, "rules": True,
                "user_defined_symbols": ["<sep>", "<sep><sep>", "the", "1234"], "control_symbols": ["<ctl>"]},
    "unigram-unknown": {"model_type": "unigram", "normalization_rule_name": "identity", "remove_extra_whitespaces": False},
    "unigram-suffix": {"model_type": "unigram", "rules": True, "treat_whitespace_as_suffix": True},
}


def path_of(name, suffix=".model"):
    return os.path.join(OUT, name + suffix)


def train(name, options):
    options = {**BASE, **options}
    with tempfile.TemporaryDirectory() as folder:
        corpus = os.path.join(folder, "corpus.txt")
        with open(corpus, "w", encoding="utf-8") as file:
            file.write(shipped()["pg19"] + "\n" + shipped()["wikitext"][:200000])
        if options.pop("rules", False):
            rules = os.path.join(folder, "rules.tsv")
            with open(rules, "w", encoding="utf-8") as file:
                file.write(RULES + "\n")
            options["normalization_rule_tsv"] = rules
        spm.SentencePieceTrainer.train(input=corpus, model_prefix=os.path.join(folder, "m"), minloglevel=2, **options)
        model = proto.ModelProto()
        with open(os.path.join(folder, "m.model"), "rb") as file:
            model.ParseFromString(file.read())
    for field in ("input", "model_prefix"):  # the paths of the folder above
        model.trainer_spec.ClearField(field)
    model.normalizer_spec.normalization_rule_tsv = ""
    with open(path_of(name), "wb") as file:
        file.write(model.SerializeToString())


TOKENS = ["<sep>", "<sep><sep>", "\u2581", "\u2581\u2581\u2581\u2581", "the", "a b", "<0x41>", "\U0001f468\u200d\U0001f469", "\uff11\uff12"]


def made_texts(seed, n_random=60, n_broken=20):
    return [text.decode("utf-8", errors="replace") for text in texts(TOKENS, seed, n_random, n_broken)] + [
        "a\x00b", "   two  spaces   ", "\ttab\t\ttab", " \u2581 x\u2581", "\u00ad", "  \u3000 ", "\u2003x\u2003", "\u00ad the\u00ad"]


def encoded(text):
    return base64.b64encode(text.encode("utf-8", errors="surrogatepass")).decode()


def whole(encode):
    """Without <unk>, which SentencePiece reads as text, kvpress as a token."""
    ids = {name: encode(text.replace("<unk>", "")) for name, text in shipped().items()}
    return {name: {"n": len(it), "fnv1a64": fnv1a(it)} for name, it in ids.items()}


def of_sentencepiece(name, seed):
    processor = spm.SentencePieceProcessor(model_file=path_of(name))
    unknown = processor.unk_id()
    rows = []
    for text in made_texts(seed):
        ids = processor.encode(text)
        decoded = processor.decode(ids) if unknown not in ids else None
        rows.append([encoded(text), ids, encoded(decoded) if decoded is not None else None])
    return {"cases": rows, "data": whole(processor.encode)}


def pieces_of(name):
    model = proto.ModelProto()
    with open(path_of(name), "rb") as file:
        model.ParseFromString(file.read())
    return model


def bpe_model(name, n=600, **options):
    """The vocabulary of a model of SentencePiece, with the merges that its scores stand for."""
    pieces = pieces_of(name).pieces
    vocab = {piece.piece: i for i, piece in enumerate(pieces)}
    merges = []
    for piece in pieces:
        if piece.type != 1:
            continue
        for cut in range(1, len(piece.piece)):
            left, right = piece.piece[:cut], piece.piece[cut:]
            if left in vocab and right in vocab:
                merges.append((piece.score, left, right))
    merges.sort(key=lambda it: -it[0])
    return models.BPE(vocab=vocab, merges=[(left, right) for _, left, right in merges], **options)


def metaspace(scheme, split=True):
    return pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme=scheme, split=split)


def sequence(*parts):
    return pre_tokenizers.Sequence(list(parts))


LLAMA = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
GEMMA = normalizers.Replace(" ", "\u2581")
ADDED = [
    AddedToken("<s>", special=True, normalized=False),
    AddedToken("<sep>", normalized=False),
    AddedToken("<sep><sep>", normalized=True),
    AddedToken("<new>", special=True, rstrip=True),
]


def fused(*extra):
    return decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), *extra])


def pipelines():
    """(name, model, normalizer, pre-tokenizer, decoder, added tokens)"""
    fallback = {"byte_fallback": True, "fuse_unk": True, "unk_token": "<unk>"}
    bpe = ("bpe", fallback)
    strip = decoders.Strip(" ", 1, 0)
    yield "llama2", bpe, LLAMA, None, fused(strip), ADDED
    yield "llama-first", bpe, None, metaspace("first", False), fused(strip), ADDED
    yield "metaspace-first", bpe, None, metaspace("first"), decoders.Metaspace(prepend_scheme="first"), ADDED
    yield "metaspace-always", bpe, None, metaspace("always"), decoders.Metaspace(prepend_scheme="always"), ADDED
    yield "metaspace-never", bpe, None, metaspace("never"), decoders.Metaspace(prepend_scheme="never"), ADDED
    yield "gemma", bpe, GEMMA, pre_tokenizers.Split(" ", "merged_with_previous"), fused(), ADDED
    yield "ignore-merges", ("bpe", {**fallback, "ignore_merges": True}), None, metaspace("always"), fused(strip), []
    yield "unknown", ("bpe-unknown", {"unk_token": "<unk>"}), None, metaspace("always"), fused(strip), ADDED
    yield "unknown-fused", ("bpe-unknown", {"unk_token": "<unk>", "fuse_unk": True}), LLAMA, None, fused(strip), []
    yield "unknown-dropped", ("bpe-unknown", {}), LLAMA, None, fused(strip), []
    yield "digits", bpe, None, sequence(pre_tokenizers.Digits(True), metaspace("first")), fused(), []
    yield "split-digits", bpe, None, sequence(metaspace("first"), pre_tokenizers.Split(Regex(r"\p{N}{1,3}"), "isolated")), fused(), []
    for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase"):
        yield name, bpe, getattr(normalizers, name)(), metaspace("always"), fused(strip), ADDED
    for left in (False, True):
        for right in (False, True):
            yield f"strip-{left}-{right}", bpe, normalizers.Strip(left, right), metaspace("first"), fused(strip), []
    yield "replace", bpe, normalizers.Sequence([
        normalizers.Replace(Regex(r"\s{2,}"), " "), normalizers.Replace(Regex(r"o+|(?<=e)n"), "_"), normalizers.Replace("...", "\u2026"),
        normalizers.NFKC(), normalizers.Lowercase()]), metaspace("always"), fused(strip), []
    yield "strip-each", bpe, None, metaspace("always"), decoders.Sequence([decoders.Strip("\u2581", 2, 0), decoders.ByteFallback()]), []
    yield "replace-each", bpe, None, metaspace("always"), decoders.Sequence([decoders.Replace(Regex("[ae]+"), "<>"), decoders.Strip("\u2581", 1, 0)]), []
    unigram = ("unigram", {})
    rules = normalizers.Precompiled(pieces_of("unigram").normalizer_spec.precompiled_charsmap)
    squeeze = normalizers.Replace(Regex(" {2,}"), " ")
    yield "unigram", unigram, normalizers.Sequence([rules, squeeze]), metaspace("always"), decoders.Metaspace(), ADDED
    yield "unigram-bytes", ("unigram", {"byte_fallback": True}), None, metaspace("first", False), fused(strip), ADDED
    yield "unigram-whole", ("unigram-unknown", {}), rules, None, fused(), []


def pipeline(model, normalizer, pre_tokenizer, decoder, added):
    name, options = model
    if name.startswith("bpe"):
        made = bpe_model(name, **options)
    else:
        pieces = pieces_of(name).pieces
        made = models.Unigram([(piece.piece, piece.score) for piece in pieces], 0, options.get("byte_fallback", False))
    tokenizer = Tokenizer(made)
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoder
    if added:
        tokenizer.add_tokens(added)
    return tokenizer


def whole_characters(ids, tokenizer):
    """Whether its bytes are whole characters; else the reference decodes each byte by itself, kvpress gives them as they are."""
    return "\ufffd" not in tokenizer.decode(ids, skip_special_tokens=False)


def of_tokenizers(name, model, normalizer, pre_tokenizer, decoder, added, seed):
    tokenizer = pipeline(model, normalizer, pre_tokenizer, decoder, added)
    document = json.loads(tokenizer.to_str())
    rows = []
    for text in made_texts(seed, 24, 4):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        decoded = tokenizer.decode(ids, skip_special_tokens=False) if whole_characters(ids, tokenizer) else None
        rows.append([encoded(text), ids, encoded(decoded) if decoded is not None else None])
    options = {key: value for key, value in document["model"].items() if key not in ("vocab", "merges")}
    rest = {key: document[key] for key in ("normalizer", "pre_tokenizer", "decoder", "added_tokens")}
    return {"name": name, "model": model[0], "options": options, **rest, "cases": rows}


def write_gguf(name, path, options):
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    pieces = pieces_of(name).pieces
    writer.add_tokenizer_model("llama")
    writer.add_token_list([piece.piece for piece in pieces])
    writer.add_token_scores([piece.score for piece in pieces])
    writer.add_token_types([int(piece.type) for piece in pieces])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    if "add_space_prefix" in options:
        writer.add_add_space_prefix(options["add_space_prefix"])
    for key in ("context_length", "embedding_length", "block_count", "feed_forward_length", "attention.head_count"):
        writer.add_uint32(f"llama.{key}", 32)
    writer.add_float32("llama.attention.layer_norm_rms_epsilon", 1e-5)
    writer.add_tensor("token_embd.weight", numpy.zeros((1, 32), dtype=numpy.float32))  # the reader wants one
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class LlamaVocabulary:
    """The tokenizer of a GGUF, by a library of llama.cpp."""

    class Parameters(ctypes.Structure):
        """llama_model_params; of more than its fields, as its size differs between versions."""

        _fields_ = [("bytes", ctypes.c_ubyte * 256)]

    VOCAB_ONLY = 72  # where the flag is in xllamacpp 2026.10.11549

    def __init__(self, library, path):
        lib = self.lib = ctypes.CDLL(library)
        lib.llama_model_default_params.restype = self.Parameters
        lib.llama_model_load_from_file.restype = ctypes.c_void_p
        lib.llama_model_load_from_file.argtypes = [ctypes.c_char_p, self.Parameters]
        lib.llama_model_get_vocab.restype = ctypes.c_void_p
        lib.llama_model_get_vocab.argtypes = [ctypes.c_void_p]
        numbers = ctypes.POINTER(ctypes.c_int)
        lib.llama_tokenize.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, numbers, ctypes.c_int, ctypes.c_bool, ctypes.c_bool]
        lib.llama_detokenize.argtypes = [ctypes.c_void_p, numbers, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_bool, ctypes.c_bool]
        parameters = lib.llama_model_default_params()
        parameters.bytes[self.VOCAB_ONLY] = 1
        model = lib.llama_model_load_from_file(path.encode(), parameters)
        assert model, path
        self.vocab = lib.llama_model_get_vocab(model)

    def encode(self, text):
        data = text.encode()
        ids = (ctypes.c_int * (len(data) + 16))()
        return list(ids[: self.lib.llama_tokenize(self.vocab, data, len(data), ids, len(ids), False, True)])

    def decode(self, ids):
        out = ctypes.create_string_buffer(64 * len(ids) + 64)
        n = self.lib.llama_detokenize(self.vocab, (ctypes.c_int * len(ids))(*ids), len(ids), out, len(out), False, True)
        return out.raw[:n]


def of_llama(library, seed):
    out = []
    for name, options in (("bpe", {}), ("bpe", {"add_space_prefix": False}), ("bpe-no-prefix", {"add_space_prefix": False})):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "x.gguf")
            write_gguf(name, path, options)
            vocabulary = LlamaVocabulary(library, path)
            rows = []
            for text in made_texts(seed) + ["<s>a<sep> b</s> c", "<ctl> x", "x<unk>y"]:
                ids = vocabulary.encode(text)
                rows.append([encoded(text), ids, base64.b64encode(vocabulary.decode(ids)).decode()])
            out.append({"model": name, **options, "cases": rows})
    return out


def write_tekken():
    """The first tokens of small.json, of which the first 256 are the bytes."""
    with open(os.path.join(ROOT, "tests", "data", "tokenizer", "small.json"), encoding="utf-8") as file:
        small = json.load(file)
    alphabet = {chr(code): byte for byte, code in byte_characters().items()}
    tokens = [bytes([byte]) for byte in range(256)]
    for left, right in small["model"]["merges"][:400]:
        tokens.append(bytes(alphabet[c] for c in left + right))
    tokens = list(dict.fromkeys(tokens))
    vocab = [{"rank": i, "token_bytes": base64.b64encode(token).decode(), "token_str": None} for i, token in enumerate(tokens)]
    config = {"pattern": TEKKEN, "num_vocab_tokens": len(tokens), "default_vocab_size": len(tokens) + 20 - 6}
    config.update({"default_num_special_tokens": 20, "version": "v3"})
    with open(path_of("tekken", ".json"), "w", encoding="ascii") as file:
        json.dump({"config": config, "vocab": vocab}, file, separators=(",", ":"))


def byte_characters():
    """The character that stands for a byte in byte-level BPE."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in plain]
    return {**{byte: byte for byte in plain}, **{byte: 0x100 + i for i, byte in enumerate(rest)}}


def of_tekken(seed):
    """mistral-common reads special tokens in texts as text; hence texts without."""
    from mistral_common.tokens.tokenizers.tekken import Tekkenizer

    tokenizer = Tekkenizer.from_file(path_of("tekken", ".json"))
    rows = []
    for text in made_texts(seed):
        ids = tokenizer.encode(text, bos=False, eos=False)
        rows.append([encoded(text), ids, encoded(tokenizer.decode(ids))])
    return {"cases": rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep-models", action="store_true", help="do not train anew")
    parser.add_argument("--llama", help="a library of llama.cpp: xllamacpp.abi3.so")
    args = parser.parse_args()
    os.makedirs(OUT, exist_ok=True)
    target = os.path.join(OUT, "references.json")
    document = {}
    if os.path.exists(target):
        with open(target, encoding="utf-8") as file:
            document = json.load(file)
    if not args.keep_models:
        for name, options in TRAINED.items():
            train(name, options)
    document["sentencepiece"] = {name: of_sentencepiece(name, 300 + i) for i, name in enumerate(TRAINED)}
    document["pipelines"] = [of_tokenizers(*it, seed=400 + i) for i, it in enumerate(pipelines())]
    write_tekken()
    document["tekken"] = of_tekken(600)
    if args.llama:
        document["llama"] = of_llama(args.llama, 500)
    with open(target, "w", encoding="ascii") as file:  # a line a case
        file.write(json.dumps(document, separators=(",", ":")).replace('],["', '],\n["') + "\n")


if __name__ == "__main__":
    main()

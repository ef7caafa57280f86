"""GGUFs of small random models, by llama.cpp's own converter, and what transformers computes with the same weights.

python tools/references/gguf_models.py --llama-cpp FOLDER --out tests/data [--only NAME ...]
FOLDER holds llama.cpp's sources (https://github.com/ggml-org/llama.cpp, also within llama-cpp-python's).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import common
import forward
from models import GGUF_SPECS, Spec, build, published_config, tokens_of


def convert(spec: Spec, folder: Path, path: Path) -> None:
    import gguf
    from conversion import get_model_class
    from conversion.base import ModelBase, ModelType, get_model_architecture

    hparams = ModelBase.load_hparams(folder, False)
    model_class = get_model_class(get_model_architecture(hparams, ModelType.TEXT))
    model_class.set_vocab = lambda self: None  # what is compared are token ids
    model = model_class(folder, gguf.LlamaFileType.ALL_F32, path, model_name=spec.name)
    model.hparams.setdefault("rotary_pct", 0.25)  # GPT-NeoX's, which transformers has moved
    model.write()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the reference files")
    parser.add_argument("--llama-cpp", type=Path, required=True)
    parser.add_argument("--only", nargs="*")
    args = parser.parse_args()
    common.setup(1)
    sys.path[:0] = [str(args.llama_cpp), str(args.llama_cpp / "gguf-py")]
    for spec in GGUF_SPECS:
        if args.only and spec.name not in args.only:
            continue
        model = build(spec)
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            config = published_config(model.config)
            if model.config.model_type == "gpt2":
                config["n_ctx"] = config["n_positions"]
            if model.config.model_type == "phi3":
                config = model.config.to_dict()
            (Path(folder) / "config.json").write_text(json.dumps(config))
            vocabulary = {f"t{i}": i for i in range(model.config.vocab_size)}  # Gemma's embedding is cut to its length
            (Path(folder) / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}, "added_tokens": []}))
            (args.out / "models").mkdir(parents=True, exist_ok=True)
            convert(spec, Path(folder), args.out / "models" / f"{spec.name}.gguf")
        tokens = tokens_of(spec)
        seen = forward.run(model, tokens)
        tensors = {name: value[:: forward.STEP] for name, value in seen.items()}
        tensors["tokens"] = tokens[0].float()
        tensors["nll"] = common.token_nll(seen["logits"][:-1], tokens[0, 1:])
        common.save_tensors(args.out / "forward" / f"{spec.name}.safetensors", tensors, {"position_step": forward.STEP})


if __name__ == "__main__":
    main()

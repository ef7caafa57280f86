"""Makes every reference file: python tools/references/make_all.py --out tests/data

The references on a real model need two files that do not come with the sources:
--gguf SmolLM2-135M-Instruct.Q4_1.gguf --wikitext test.jsonl (rows {"text": ...} of WikiText-103's test split).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Callable

import cam
import chat_templates
import common
import forward
import models
import parity
import press_scores
import protocols
import rope_scalings
import smollm2
import task_answers

PARTS: dict[str, Callable[..., None]] = {
    "models": models.main,
    "forward": forward.main,
    "rope_scalings": rope_scalings.main,
    "press_scores": press_scores.main,
    "protocols": protocols.main,
    "cam": cam.main,
    "smollm2": smollm2.main,
    "task_answers": task_answers.main,
    "parity": parity.main,
    "chat_templates": chat_templates.make,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the reference files")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--gguf", type=Path, help="SmolLM2 in GGUF")
    parser.add_argument("--wikitext", type=Path, help="WikiText-103 test split, JSON lines")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    common.setup(args.threads)
    for part in args.only:
        extra = ()
        if part == "smollm2":
            if not (args.gguf and args.wikitext):
                print("smollm2: skipped, needs --gguf and --wikitext", file=sys.stderr)
                continue
            extra = (args.gguf, args.wikitext)
        if part == "task_answers":
            if not args.gguf:
                print("task_answers: skipped, needs --gguf", file=sys.stderr)
                continue
            extra = (args.gguf,)
        if part == "parity":
            extra = (args.gguf,)
        start = time.perf_counter()
        PARTS[part](args.out, *extra)
        print(f"{part}: {time.perf_counter() - start:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main()

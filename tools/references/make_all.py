"""Makes every reference file: python tools/references/make_all.py --out tests/data"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import common

PARTS = ("models", "forward", "press_scores", "protocols")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the reference files")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    args = parser.parse_args()
    common.setup()
    for part in PARTS:
        if part not in args.only:
            continue
        start = time.perf_counter()
        __import__(part).main(args.out)
        print(f"{part}: {time.perf_counter() - start:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main()

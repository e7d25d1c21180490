"""Score text messages with the spam filter, and say how sure it is.

    python score.py messages.txt
    echo "Free entry! Text WIN to 80082" | python score.py -

The verdict is "unsure" where the 90 % interval of the Monte-Carlo samples
holds both ham and spam, that is, where it straddles 0.5.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import fastdrop
from fastdrop.demo import encode, model_path
from fastdrop.demo.table import table


def main() -> None:
    parser = argparse.ArgumentParser(description="Score text messages, one a line.")
    parser.add_argument("messages", help="a file of messages, or - for standard input")
    parser.add_argument("--model", type=Path, default=model_path())
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    try:
        if args.messages == "-":
            text = sys.stdin.read()
        else:
            text = Path(args.messages).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        parser.error(f"{args.messages}: {error}")
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        parser.error("no messages")

    model = fastdrop.load(args.model)
    p = model.mc_predict(encode(lines), samples=args.samples, rng=args.seed)
    print(table(lines, p))


if __name__ == "__main__":
    main()

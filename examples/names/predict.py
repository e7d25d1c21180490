"""Say what the census model of ethnicolr says of surnames, and how sure it is.

    python predict.py names.txt
    echo "Nguyen" | python predict.py -

Downloads the wheel of ethnicolr 0.8.1 (36 MB) unless it is there, and needs NumPy and fastdrop
alone. The verdict is a group where the 90 % interval of its probability lies above 0.5, and
"unsure" where there is none such.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from wheel import YEARS, encode, find, read


def main() -> None:
    parser = argparse.ArgumentParser(description="Run a census model over names, one a line.")
    parser.add_argument("names", help="a file of surnames, or - for standard input")
    parser.add_argument("--wheel", type=Path, help="the wheel of ethnicolr 0.8.1")
    parser.add_argument("--year", type=int, choices=YEARS, default=2000, help="of the census")
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    try:
        if args.names == "-":
            text = sys.stdin.read()
        else:
            text = Path(args.names).read_text(encoding="utf-8")
        census = read(find(args.wheel), args.year)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    names = [line.strip() for line in text.splitlines() if line.strip()]
    if not names:
        parser.error("no names")

    p = census.model.mc_predict(encode(names, census.bigrams), samples=args.samples, rng=args.seed)
    low, high = p.quantile([0.05, 0.95])
    print(f"{'name':16} {'likeliest':10} {'P':>5}  {'std':>5}  {'90 % interval':15} verdict")
    for n, (name, best) in enumerate(zip(names, np.argmax(p.mean, axis=-1), strict=True)):
        group = census.groups[best]
        verdict = group if low[n, best] > 0.5 else "unsure"
        print(
            f"{name:16} {group:10} {p.mean[n, best]:5.3f}  {p.std[n, best]:5.3f}  "
            f"{low[n, best]:.3f} to {high[n, best]:.3f}  {verdict}"
        )


if __name__ == "__main__":
    main()

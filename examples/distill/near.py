#!/usr/bin/env python3
"""Measures how near a model's vectors are to the original's on your own text, by `cmm embed`: the
mean cosine, and the number of sentences for which the nearest other sentence is the same.

    python3 examples/distill/near.py --original MINILM_DIR --text unseen.txt [--model models/fastminilm] [--cmm target/release/cmm]

retrieval.py measures more.
"""
import argparse

from vectors import evenly, nearest, vectors

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--original", required=True)
parser.add_argument("--text", required=True, help="a file with a sentence on each line")
parser.add_argument("--model", default="models/fastminilm")
parser.add_argument("--cmm", default="target/release/cmm")
parser.add_argument("--sentences", type=int, default=600, help="the number of sentences, spread evenly over the text")
options = parser.parse_args()

with open(options.text, encoding="utf-8") as file:
    lines = evenly([line.strip() for line in file if line.strip()], options.sentences)
if len(lines) < 2:
    raise SystemExit(f"{options.text}: expected at least two lines, found {len(lines)}")
want, got = (vectors(options.cmm, model, lines) for model in (options.original, options.model))
mean = (want * got).sum(1).mean()
same = (nearest(want) == nearest(got)).mean()
print(f"{len(lines)} sentences: mean cosine {mean:.4f}, same nearest sentence {same:.1%}")

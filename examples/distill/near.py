#!/usr/bin/env python3
"""How near a model's vectors are to the original's on a text of one's own, by `cmm embed`: mean cosine, and for how many sentences the nearest
other sentence is the same.

    python3 examples/distill/near.py --original MINILM_DIR --text unseen.txt [--model models/fastminilm] [--cmm target/release/cmm]
"""
import argparse
import json
import operator
import subprocess

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--original", required=True)
parser.add_argument("--text", required=True, help="a sentence a line")
parser.add_argument("--model", default="models/fastminilm")
parser.add_argument("--cmm", default="target/release/cmm")
parser.add_argument("--sentences", type=int, default=600, help="evenly from the text")
options = parser.parse_args()

with open(options.text, encoding="utf-8") as file:
    lines = [line.strip() for line in file if line.strip()]
lines = lines[:: max(1, len(lines) // options.sentences)][: options.sentences]
if len(lines) < 2:
    raise SystemExit(f"{options.text}: expected at least two lines, found {len(lines)}")


def vectors(model):
    command = [options.cmm, "embed", "--model", model, "--json"]
    try:
        found = subprocess.run(command, input="\n".join(lines), stdout=subprocess.PIPE, text=True, check=True).stdout
    except OSError as failed:
        raise SystemExit(f"{failed}; is {options.cmm} there (--cmm)?")
    except subprocess.CalledProcessError as failed:
        raise SystemExit(failed.returncode)  # cmm has said why
    return [json.loads(line)["embedding"] for line in found.splitlines()]


def cosine(a, b):
    """Of vectors of length 1."""
    return sum(map(operator.mul, a, b))


def nearest(of):
    return [max((other for other in range(len(of)) if other != one), key=lambda other: cosine(of[one], of[other])) for one in range(len(of))]


want, got = vectors(options.original), vectors(options.model)
mean = sum(map(cosine, want, got)) / len(lines)
same = sum(map(operator.eq, nearest(want), nearest(got))) / len(lines)
print(f"{len(lines)} sentences: mean cosine {mean:.4f}, same nearest sentence {same:.1%}")

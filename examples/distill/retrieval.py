#!/usr/bin/env python3
"""Compares the results of a search with a model and with the original, by `cmm embed`: each line of a
text is a query for the nearest among the other lines.

    python3 examples/distill/gather.py --packages PACKAGES --data GLUE_DIR --out dictionary.txt --only dictionary --unseen
    python3 examples/distill/gather.py --packages PACKAGES --data GLUE_DIR --out technical.txt --only handbook --unseen
    python3 examples/distill/retrieval.py --original MINILM_DIR --data GLUE_DIR --text dictionary=dictionary.txt --text technical=technical.txt \\
        --model models/fastminilm --model2vec

The texts are the test part of wikitext, the files of --text, and the questions and answers of
faq.tsv. `first` is the share of lines whose nearest line is the original's nearest. `ten` is the
share of the original's ten nearest lines that are among the model's ten. `answered` is the share of
questions of faq.tsv whose own answer is nearer than all other answers. --model2vec adds a static
model that the package of that name distils from the original
(pip install "model2vec[distill,quantization]").
"""
import argparse
import json
import os

import numpy

import texts
from vectors import cosine, evenly, nearest, vectors

FAQ = os.path.join(os.path.dirname(os.path.abspath(__file__)), "faq.tsv")
TOP = 10


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--original", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--text", action="append", default=[], metavar="NAME=FILE", help="a file with a sentence on each line; may be given several times")
    parser.add_argument("--model", action="append", default=[], metavar="MODEL_DIR", help="may be given several times")
    parser.add_argument("--model2vec", action="store_true")
    parser.add_argument("--cmm", default="target/release/cmm")
    parser.add_argument("--lines", type=int, default=500, help="the number of lines of a text, spread evenly over it")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def read(options):
    """Returns lines by kind; the last kind is questions followed by their answers."""
    kinds = {"wikitext": texts.held_back(options.data)["wikitext"]}
    for text in options.text:
        name, separator, path = text.partition("=")
        if not separator:
            raise SystemExit(f"--text {text}: expected NAME=FILE")
        try:
            kinds[name] = texts.unique(texts.read(path).splitlines())
        except OSError as failed:
            raise SystemExit(f"--text {text}: {failed}")
    kinds = {name: evenly(lines, options.lines) for name, lines in kinds.items()}
    questions, answers = zip(*(line.split("\t") for line in texts.read(FAQ).splitlines()))
    kinds["faq"] = [*questions, *answers]
    for name, lines in kinds.items():
        if len(lines) <= TOP:
            raise SystemExit(f"{name}: expected more than {TOP} lines, found {len(lines)}")
    return kinds


def static(original, lines):
    """Returns vectors from a table of word pieces."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    try:
        from model2vec.distill import distill
    except ImportError as failed:
        raise SystemExit(f"{failed}; is model2vec[distill,quantization] installed?")
    found = distill(original).encode(lines)
    return found / numpy.linalg.norm(found, axis=1, keepdims=True).clip(min=1e-12)


def by_kind(found, kinds):
    ends = numpy.cumsum([len(lines) for lines in kinds.values()])
    return dict(zip(kinds, numpy.split(found, ends[:-1])))


def measures(want, got):
    """Compares the vectors of a model with the original's, by kind."""
    result = {"kinds": {}}
    for name in want:
        wanted, ten = nearest(want[name], TOP), nearest(got[name], TOP)
        shared = numpy.mean([len(numpy.intersect1d(a, b)) for a, b in zip(wanted, ten)])
        result["kinds"][name] = {"first": float((wanted[:, 0] == ten[:, 0]).mean()), "ten": float(shared / TOP)}
    questions, answers = numpy.split(got["faq"], 2)
    best = cosine(questions, answers).argmax(axis=1)
    return result | {"answered": float((best == numpy.arange(len(best))).mean())}


def table(found, kinds):
    width = max(len(line["model"]) for line in found)
    print(" " * width, *(f"{name + ', ' + str(len(lines)):>16}" for name, lines in kinds.items()))
    print(" " * width, *(f"{'first':>8}{'ten':>8}" for _ in kinds), f"{'answered':>10}")
    for line in found:
        cells = (f"{of['first']:>8.1%}{of['ten']:>8.1%}" for of in line["kinds"].values())
        print(f"{line['model']:<{width}}", *cells, f"{line['answered']:>10.1%}")


def main():
    options = parse()
    kinds = read(options)
    lines = [line for of in kinds.values() for line in of]
    want = by_kind(vectors(options.cmm, options.original, lines), kinds)
    found = [{"model": "the original"} | measures(want, want)]
    for model in options.model:
        found.append({"model": model} | measures(want, by_kind(vectors(options.cmm, model, lines), kinds)))
    if options.model2vec:
        found.append({"model": "model2vec"} | measures(want, by_kind(static(options.original, lines), kinds)))
    if options.json:
        print(json.dumps({"lines": {name: len(of) for name, of in kinds.items()}, "models": found}))
    else:
        table(found, kinds)


if __name__ == "__main__":
    main()

"""Sentences of the GLUE folders (SST-2, CoLA, RTE, STS-B) and of wikitext, for training and held back."""
import csv
import os
import re


def read(path, encoding="utf-8"):
    with open(path, encoding=encoding, newline="") as file:
        return file.read()


def tsv(path, columns):
    """Reads columns by number. The first line is left out if it is a header."""
    lines = [line.split("\t") for line in read(path).splitlines() if line]
    header = {"label", "content", "sentence", "sentence1"} & {field for field in lines[0]}
    return [line[column] for line in lines[bool(header) :] for column in columns]


def stsb(path):
    """Reads pairs with their scores."""
    return [(row[0], row[1], float(row[2])) for row in csv.reader(read(path).splitlines())]


def wikitext(path):
    sentences = []
    for line in read(path).splitlines():
        line = line.strip()
        if line and not line.startswith("="):
            sentences += re.split(r"(?<= [.?!]) ", line.replace(" @-@ ", "-").replace("<unk>", "thing"))
    return [s for s in sentences if 4 <= len(s.split()) <= 60]


def train(data, more=None):
    """Returns the texts for training. `more` is a file of further lines."""
    part = lambda *names: os.path.join(data, *names)
    pairs = [text for a, b, _ in stsb(part("STS-B", "train.csv")) for text in (a, b)]
    return unique(
        tsv(part("SST-2", "train.tsv"), [1])
        + tsv(part("CoLA", "train.tsv"), [3])
        + tsv(part("RTE", "train.tsv"), [1, 2])
        + pairs
        + wikitext(part("wikitext-2", "valid.txt"))
        + (read(more).splitlines() if more else [])
    )


def held_back(data, more=None):
    """Returns held-back texts by kind: sentences of the dev and test files, and text of another
    part of wikitext. None of it is used in training or occurs in `more`.
    """
    part = lambda *names: os.path.join(data, *names)
    kinds = {
        "STS-B": [text for split in ("dev", "test") for a, b, _ in stsb(part("STS-B", f"{split}.csv")) for text in (a, b)],
        "SST-2": tsv(part("SST-2", "dev.tsv"), [1]),
        "CoLA": tsv(part("CoLA", "dev.tsv"), [3]),
        "RTE": tsv(part("RTE", "dev.tsv"), [1, 2]),
        "wikitext": wikitext(part("wikitext-2", "test.txt")),
    }
    seen = set(train(data, more))
    for kind, found in kinds.items():
        kinds[kind] = [text for text in unique(found) if text not in seen]
        seen.update(kinds[kind])
    return kinds


def unique(texts):
    return list(dict.fromkeys(text.strip() for text in texts if text.strip()))

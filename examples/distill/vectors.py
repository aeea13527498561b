"""Sentence vectors by `cmm embed`, and what they are compared by."""
import json
import subprocess

import numpy


def vectors(cmm, model, lines):
    """An array [lines, width] of rows of length 1."""
    command = [cmm, "embed", "--model", model, "--json"]
    try:
        found = subprocess.run(command, input="\n".join(lines), stdout=subprocess.PIPE, encoding="utf-8", check=True).stdout
    except OSError as failed:
        raise SystemExit(f"{failed}; is {cmm} there (--cmm)?")
    except subprocess.CalledProcessError as failed:
        raise SystemExit(failed.returncode)  # cmm has said why
    return numpy.array([json.loads(line)["embedding"] for line in found.splitlines()], dtype=numpy.float32)


def cosine(a, b):
    """Of every row of `a`, of length 1, with every row of `b`."""
    return a @ b.T


def nearest(of, count=1):
    """For each row the numbers of the `count` other rows with the highest cosines, best first."""
    cosines = cosine(of, of)
    numpy.fill_diagonal(cosines, -numpy.inf)
    return (-cosines).argsort(axis=1, kind="stable")[:, :count]


def evenly(lines, count):
    """So many lines, from the whole text."""
    return lines[:: max(1, len(lines) // count)][:count]

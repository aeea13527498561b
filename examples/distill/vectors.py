"""Sentence vectors by `cmm embed`, and their comparison."""
import json
import subprocess

import numpy


def vectors(cmm, model, lines):
    """Returns an array [lines, width] of rows of length 1."""
    command = [cmm, "embed", "--model", model, "--json"]
    try:
        found = subprocess.run(command, input="\n".join(lines), stdout=subprocess.PIPE, encoding="utf-8", check=True).stdout
    except OSError as failed:
        raise SystemExit(f"{failed}; is {cmm} there (--cmm)?")
    except subprocess.CalledProcessError as failed:
        raise SystemExit(failed.returncode)  # cmm has printed the reason
    return numpy.array([json.loads(line)["embedding"] for line in found.splitlines()], dtype=numpy.float32)


def cosine(a, b):
    """Returns the cosines of every row of `a` with every row of `b`; all have length 1."""
    return a @ b.T


def nearest(of, count=1):
    """Returns for each row the numbers of the `count` other rows with the highest cosines, best first."""
    cosines = cosine(of, of)
    numpy.fill_diagonal(cosines, -numpy.inf)
    return (-cosines).argsort(axis=1, kind="stable")[:, :count]


def evenly(lines, count):
    """Returns `count` lines, spread evenly over the text."""
    return lines[:: max(1, len(lines) // count)][:count]

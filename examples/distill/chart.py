#!/usr/bin/env python3
"""Draws what study.py measured: each measure against the neurons that a token engages.

    python3 examples/distill/chart.py --study OUT_DIR/study.jsonl --out docs/retention.svg
"""
import argparse
import json
import statistics

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

MEASURES = {
    "held cosine": "cosine to the original's vector",
    "held hidden": "hidden error (relative MSE)",
    "stsb test, untuned": "STS-B test, Spearman",
    "sst2": "SST-2, accuracy",
    "cola": "CoLA, Matthews",
    "rte": "RTE, accuracy",
}
KINDS = {"fff": ("FFF: chosen neurons", "tab:blue", "o-"), "dense": ("dense: fixed neurons", "tab:orange", "s--")}


def neurons(ffn):
    """Returns the number of neurons that a token engages in a layer such as `fff:KxD` or
    `dense:NEURONS`.
    """
    size = ffn.split(":")[1]
    if ffn.startswith("dense:"):
        return int(size)
    trees, depth = map(int, size.split("x"))
    return trees * (depth + 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", required=True)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    found = {}
    with open(options.study) as file:
        for line in map(json.loads, file):
            found.setdefault(line["ffn"], []).append(line)

    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "cmm", "font.family": "sans-serif", "font.size": 9})
    figure, places = plt.subplots(2, 3, figsize=(11, 6), layout="constrained")
    for place, (measure, title) in zip(places.flat, MEASURES.items()):
        for kind, (label, colour, style) in KINDS.items():
            layers = sorted((ffn for ffn in found if ffn.startswith(kind + ":")), key=neurons)
            x = [neurons(ffn) for ffn in layers]
            place.plot(x, [statistics.median(line[measure] for line in found[ffn]) for ffn in layers], style, color=colour, label=label)
            # Every seed is drawn, so that differences can be compared with their spread.
            seeds = [(neurons(ffn), line[measure]) for ffn in layers for line in found[ffn]]
            place.scatter(*zip(*seeds), s=8, color=colour, alpha=0.6)
        original = [line[measure] for line in found.get("original", []) if measure in line]
        if original:
            place.axhline(statistics.median(original), color="grey", linewidth=1, label="the original")
        place.set_xscale("log")
        place.set_xticks([12, 40, 128, 384, 1536], [12, 40, 128, 384, 1536])
        place.minorticks_off()
        place.set_title(title)
        place.set_xlabel("neurons engaged")
        place.grid(alpha=0.3)
    figure.legend(*places[1, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.patch.set_facecolor("white")
    figure.savefig(options.out, metadata={"Date": None})


if __name__ == "__main__":
    main()

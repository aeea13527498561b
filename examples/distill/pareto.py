#!/usr/bin/env python3
"""Compares the fidelity of layers from study.py with the time of whole encoders from `cmm bench`,
and marks the layers that no other one beats in both.

    cmm bench model-minilm --no-gpu --fff 1x11,signed:1x11,leaf:7x32 --precision f32 -b 2048 --output RESULTS/forms.json
    cmm bench model-minilm --no-gpu --fff 1x11 --neurons 128 --precision f32 -b 2048 --output RESULTS/128.json
    python3 examples/distill/pareto.py --study results/nvidia-h100-forms.jsonl --bench RESULTS/*.json --tokens 2048 --out fidelity.svg

It takes layers that have a line in a study and a row in a benchmark; the fastest of several kernels
counts. There is a panel for each machine, form of the activations and number of tokens. A report of
a CPU contains only its system and the number of threads, so reports of two hosts must not be given
together. The program prints the table as Markdown.
"""
import argparse
import collections
import json
import statistics

COLOURS = {"fff": "tab:blue", "signed": "tab:cyan", "leaf": "tab:green", "dense": "tab:orange"}


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", required=True, nargs="+", help="files of study.py")
    parser.add_argument("--bench", required=True, nargs="+", help="files of cmm bench --output")
    parser.add_argument("--tokens", type=int, nargs="+", default=[16_384], help="the batch sizes in tokens")
    parser.add_argument("--fastest", action="store_true", help="use the fastest sample of a CPU's row instead of the median, for a machine that others use too")
    parser.add_argument("--out", help="an SVG to write; without it only the table is printed")
    return parser.parse_args()


def layer(encoder):
    """Returns a layer's name in the studies."""
    if not encoder["trees"]:
        return f"dense:{encoder['neurons']}"
    form = encoder.get("form")
    if isinstance(form, dict):
        return f"leaf:{encoder['depth']}x{form['leaf']['width']}"
    return f"{form or 'fff'}:{encoder['trees']}x{encoder['depth']}"


def fidelity(paths):
    """Returns the cosines of each layer's seeds."""
    found = collections.defaultdict(list)
    for path in paths:
        with open(path) as file:
            for line in map(json.loads, file):
                if "held cosine" in line and "differs" not in line:  # from the recipe that the others have
                    found[line["ffn"]].append(line["held cosine"])
    return found


def times(paths, tokens, statistic_on_cpu="median"):
    """Returns the seconds of each layer's encoder, by machine, precision and tokens: the median on a
    GPU. Rows that failed their check do not count.
    """
    found = collections.defaultdict(dict)
    for path in paths:
        with open(path) as file:
            report = json.load(file)
        for row in report["rows"]:
            encoder = row["layer"].get("encoder")
            if not encoder or row["tokens"] not in tokens or not row["check"]["passed"]:
                continue
            machine, statistic = report["machine"]["adapter"], "median"
            if row["unit"] == "cpu":
                statistic = statistic_on_cpu
                machine = f"CPU, {report['machine']['system']}, {report['machine']['threads'] or 'all'} threads"
            panel = found[f"{machine}, {row['activations']}, {row['tokens']:,} tokens"]
            name = layer(encoder)
            panel[name] = min(row["seconds"][statistic], panel.get(name, float("inf")))
    return found


def front(points):
    """Returns the names of those (seconds, cosine) for which no other one is both faster and nearer."""
    best, names = -1.0, []
    for name, (_, cosine) in sorted(points.items(), key=lambda item: (item[1][0], -item[1][1])):
        if cosine > best:
            best = cosine
            names.append(name)
    return names


def table(panels, cosines):
    print("| layer | cosine, held back | " + " | ".join(f"ms, {panel}" for panel in panels) + " |\n|---" + "|---" * (1 + len(panels)) + "|")
    names = sorted({name for points in panels.values() for name in points}, key=lambda name: statistics.median(cosines[name]))
    fronts = {panel: front(points) for panel, points in panels.items()}
    for name in names:
        cell = lambda panel: "" if name not in panels[panel] else f"{1e3 * panels[panel][name][0]:.3g}" + " *" * (name in fronts[panel])
        print(f"| {name} | {statistics.median(cosines[name]):.4f} | " + " | ".join(map(cell, panels)) + " |")
    print("\n\\* no other layer here is both faster and nearer.")


def draw(panels, path):
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "cmm", "font.family": "sans-serif", "font.size": 9})
    figure, places = plt.subplots(1, len(panels), figsize=(6 * len(panels), 4.5), layout="constrained", squeeze=False)
    for place, (panel, points) in zip(places.flat, panels.items()):
        for name, (seconds, cosine) in points.items():
            place.scatter(1e3 * seconds, cosine, color=COLOURS[name.split(":")[0]])
            dense = name.startswith("dense")
            offset, side = ((4, -9), "left") if dense else ((-4, 3), "right")
            place.annotate(name, (1e3 * seconds, cosine), xytext=offset, textcoords="offset points", fontsize=8, ha=side)
        best = front(points)
        place.plot([1e3 * points[name][0] for name in best], [points[name][1] for name in best], color="grey", linewidth=1, zorder=0)
        place.set_title(panel)
        place.set_xlabel("ms of the whole encoder")
        place.set_ylabel("cosine to the original's vector, held back")
        place.margins(x=0.2)
        place.grid(alpha=0.3)
    figure.patch.set_facecolor("white")
    figure.savefig(path, metadata={"Date": None})


def main():
    options = parse()
    cosines = fidelity(options.study)
    panels = {}
    for panel, seconds in times(options.bench, options.tokens, "min" if options.fastest else "median").items():
        points = {name: (found, statistics.median(cosines[name])) for name, found in seconds.items() if name in cosines}
        if points:
            panels[panel] = points
    if not panels:
        raise SystemExit(f"no encoder of {options.tokens} tokens at once in {', '.join(options.bench)} has layers that {', '.join(options.study)} knows")
    table(panels, cosines)
    if options.out:
        draw(panels, options.out)


if __name__ == "__main__":
    main()

"""Draws the README's chart, seconds and cosines on the CPU, without any library:

    python3 examples/peers/bars.py results/cpu-xeon-embed.json docs/cpu.svg
"""

import json
import sys
from html import escape

WIDTH, LEFT, RIGHT, TOP, BAR, GAP = 860, 290, 150, 42, 24, 10
COLOURS = {"cmm": "#2a8bdb", "onnxruntime": "#8a94a0"}


def main(source, target):
    with open(source) as file:
        data = json.load(file)
    rows = data["rows"]
    longest = max(row["seconds"] for row in rows)
    height = TOP + len(rows) * (BAR + GAP) + 6
    title = escape(f"Seconds to embed 2,000 sentences, {data['machine']}")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'font-family="system-ui, sans-serif" font-size="14" role="img" aria-label="{title}">',
        # A picture in a page knows whether the reader likes it dark.
        "<style>text{fill:#24292f}@media(prefers-color-scheme:dark){text{fill:#d0d7de}}</style>",
        f'<text x="0" y="18" font-weight="600">{title}</text>',
    ]
    for number, row in enumerate(rows):
        y = TOP + number * (BAR + GAP)
        length = row["seconds"] / longest * (WIDTH - LEFT - RIGHT)
        name = escape(f"{row['engine']}, {row['model']}, {row['products']}")
        parts.append(f'<text x="{LEFT - 10}" y="{y + 17}" text-anchor="end">{name}</text>')
        parts.append(f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" rx="3" fill="{COLOURS[row["engine"]]}"/>')
        parts.append(f'<text x="{LEFT + length + 8:.1f}" y="{y + 17}">{row["seconds"]:.2f} s, cosine {row["cosine"]:.3f}</text>')
    with open(target, "w") as file:
        file.write("\n".join(parts + ["</svg>"]) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

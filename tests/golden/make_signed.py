#!/usr/bin/env python3
"""Writes the golden layers of the signed form, `fff_signed/`: y += GELU(|z|) * w_out[node, z > 0], one loop a step, in f64.

    python3 tests/golden/make_signed.py

Nobody has published such layers, so that this file, which shares no code with the engine, is what the engine is held against. It takes nothing but Python.
"""
import json
import math
import os
import random
import struct

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fff_signed")
# Name, input, output, trees, depth, tokens, whether values are small integers, so that every logit is exact in f32 and many are 0.
CASES = [
    ("s1_k1_d0", 9, 7, 1, 0, 5, False),
    ("s2_k1_d11", 12, 12, 1, 11, 64, False),
    ("s3_k3_d4", 37, 5, 3, 4, 33, False),
    ("s4_k2_d3_ties", 12, 12, 2, 3, 40, True),
]


def f32(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def layer(seed, inner, outer, trees, depth, tokens, exact):
    draw = random.Random(seed)
    nodes = trees * (2 ** (depth + 1) - 1)
    value = (lambda _: float(draw.randint(-1, 1))) if exact else (lambda spread: f32(draw.uniform(-spread, spread)))
    return {
        "linear_in.weight": [[value((3 / inner) ** 0.5) for _ in range(inner)] for _ in range(nodes)],
        "linear_in.bias": [value(0.1) for _ in range(nodes)],
        # A row of the checkpoint's matrix is an output; of its columns a node has two, that for z <= 0 first.
        "linear_out.weight": [[value(0.5) for _ in range(2 * nodes)] for _ in range(outer)],
        "input.x": [[value(1.7) for _ in range(inner)] for _ in range(tokens)],
    }


def forward(layer, trees, depth):
    w_in, bias, w_out = layer["linear_in.weight"], layer["linear_in.bias"], layer["linear_out.weight"]
    of_a_tree = 2 ** (depth + 1) - 1
    ys, paths, margins = [], [], []
    for x in layer["input.x"]:
        y, path, margin = [0.0] * len(w_out), [], math.inf
        for tree in range(trees):
            node, walk = 0, []
            for level in range(depth + 1):
                row = tree * of_a_tree + node
                z = math.fsum(a * b for a, b in zip(x, w_in[row])) + bias[row]
                right = z > 0
                size = abs(z)
                engaged = size * 0.5 * math.erfc(-size / math.sqrt(2))
                y = [so_far + engaged * columns[2 * row + right] for so_far, columns in zip(y, w_out)]
                walk.append(node)
                if level < depth:
                    margin = min(margin, size)
                node = 2 * node + 1 + right
            path.append(walk)
        ys.append(y)
        paths.append(path)
        margins.append(margin)
    return {"expected.y": ys, "expected.nodes": paths, "expected.min_margin": margins}


def flat(values):
    return [leaf for value in values for leaf in flat(value)] if isinstance(values, list) else [values]


def shape(values):
    return [len(values), *shape(values[0])] if isinstance(values, list) else []


def save(path, tensors):
    header, data = {}, b""
    for name, values in tensors.items():
        kind, letter = ("I32", "i") if name.endswith("nodes") else ("F32", "f")
        numbers = flat(values)
        packed = struct.pack(f"<{len(numbers)}{letter}", *numbers)
        header[name] = {"dtype": kind, "shape": shape(values), "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


os.makedirs(HERE, exist_ok=True)
for seed, (name, inner, outer, trees, depth, tokens, exact) in enumerate(CASES):
    made = layer(seed, inner, outer, trees, depth, tokens, exact)
    save(os.path.join(HERE, f"{name}.safetensors"), made | forward(made, trees, depth))
    about = {"kind": "fff_signed", "form": "signed", "trees": trees, "depth": depth, "in": inner, "out": outer, "exact_arithmetic": exact, "seed": seed}
    with open(os.path.join(HERE, f"{name}.json"), "w") as file:
        json.dump(about, file, indent=1)
        file.write("\n")

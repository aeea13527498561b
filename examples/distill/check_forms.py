#!/usr/bin/env python3
"""Compares the layers of bert.py with a loop over tokens, trees and levels in float64, and
checkpoints with what was written to them.

    python3 examples/distill/check_forms.py

It needs no model and no data, and takes some seconds. It prints a line for each check that passed.
"""
import math
import os
import subprocess
import sys
import tempfile

import torch

from bert import Bert, new_ffn, read_config
from grow import grow

WIDTH = 24
HERE = os.path.dirname(os.path.abspath(__file__))
CONFIG = {
    "hidden_size": WIDTH, "layer_norm_eps": 1e-12, "num_attention_heads": 2, "vocab_size": 50, "max_position_embeddings": 16, "type_vocab_size": 2,
    "num_hidden_layers": 2, "intermediate_size": 40, "pad_token_id": 0,
}  # fmt: skip


def gelu(z):
    return z * 0.5 * (1 + math.erf(z / math.sqrt(2)))


def of_trees(tensors, kind, x):
    """Returns the output of an FFF layer of the published or the signed form for one token, and its
    path in each tree. `tensors` have the names and layouts of a checkpoint.
    """
    name, size = kind.split(":")
    trees, depth = map(int, size.split("x"))
    nodes = 2 ** (depth + 1) - 1
    y, paths = torch.zeros(WIDTH, dtype=torch.double), []
    for tree in range(trees):
        node = 0
        paths.append([])
        for _ in range(depth + 1):
            paths[-1].append(node)
            number = tree * nodes + node
            z = float(tensors["linear_in.weight"][number] @ x + tensors["linear_in.bias"][number])
            if name == "fff":
                y += gelu(z) * tensors["linear_out.weight"][:, number]
            else:
                y += gelu(abs(z)) * tensors["linear_out.weight"][:, 2 * number + (z > 0)]
            node = 2 * node + 1 + (z > 0)
    return y, paths


def of_leaves(tensors, kind, x):
    """Does the same for the leaf form, as the package `fastfeedforward` evaluates it, but with the
    output biases that the package then leaves out.
    """
    name, size = kind.split(":")
    depth = int(size.split("x")[0])
    node, y, path = 0, torch.zeros(WIDTH, dtype=torch.double), [0]
    for _ in range(depth):
        z = float(tensors["node_weights"][node] @ x + tensors["node_biases"][node, 0])
        if name == "signed-leaf":
            y += gelu(abs(z)) * tensors["node_out"][2 * node + (z > 0)]
        node = 2 * node + 1 + (z >= 0)
        path.append(node)
    leaf = node - (2**depth - 1)
    hidden = torch.tensor([gelu(float(z)) for z in x @ tensors["w1s"][leaf] + tensors["b1s"][leaf]], dtype=torch.double)
    return y + hidden @ tensors["w2s"][leaf] + tensors["b2s"][leaf], [path]


def layers():
    for kind in ("fff:2x3", "fff:3x0", "signed:1x5", "signed:3x2", "leaf:3x8", "leaf:1x5", "signed-leaf:4x6", "signed:2x3+8"):
        layer = new_ffn(kind, WIDTH).double()
        for parameter in layer.parameters():
            torch.nn.init.normal_(parameter)
        x = torch.randn(300, WIDTH, dtype=torch.double)
        got = layer(x, torch.ones(300, dtype=torch.bool))
        tensors = {name: tensor.detach() for name, tensor in layer.tensors().items()}
        naive = of_leaves if "leaf" in kind else of_trees
        rows, paths = zip(*(naive(tensors, kind.split("+")[0], row) for row in x))
        want, trees = torch.stack(rows), layer.trees if "+" in kind else layer
        assert trees.last_path.tolist() == list(paths), kind
        if "+" in kind:
            z = x @ tensors["dense.up.weight"].t() + tensors["dense.up.bias"]
            hidden = torch.tensor([[gelu(value) for value in row] for row in z.tolist()], dtype=torch.double)
            want += hidden @ tensors["dense.down.weight"].t() + tensors["dense.down.bias"]
        error = float((got.detach() - want).norm() / want.norm())
        assert error < 1e-12, (kind, error)
        # A token's gradient passes through the weights that it engaged, and not through another
        # token's.
        row = x[:1].clone().requires_grad_()
        alone = torch.autograd.grad(layer(row, torch.ones(1, dtype=torch.bool)).sum(), row)[0]
        among = x.clone().requires_grad_()
        together = torch.autograd.grad(layer(among, torch.ones(300, dtype=torch.bool))[0].sum(), among)[0]
        assert torch.allclose(alone[0], together[0]) and not together[1:].any(), kind
        print(f"{kind}: as token by token in float64, relative error {error:.0e}")


def checkpoints(folder):
    origin = os.path.join(folder, "origin")
    ids = torch.randint(0, 50, (40, 12))
    mask = torch.ones_like(ids, dtype=torch.bool)
    teacher = Bert(CONFIG).eval()
    teacher.export(origin, folder, torch.float32)
    for kind in ("dense:16", "fff:2x3", "signed:2x3", "leaf:2x8", "signed-leaf:2x8", "signed:1x3+8"):
        student = Bert(CONFIG, kind).load(origin, but_ffn=True)
        grow(student, teacher, [(ids, mask)], 480)
        want = student(ids, mask)[1]
        assert want.isfinite().all(), kind
        if kind.startswith("signed-leaf") or "+" in kind:
            continue
        written = os.path.join(folder, "written")
        student.export(written, origin, torch.float32)
        read = Bert(read_config(written)).load(written)
        assert read.kind == kind and torch.equal(read(ids, mask)[1], want), kind
        small = os.path.join(folder, "small")
        subprocess.run([sys.executable, os.path.join(HERE, "quantise.py"), "--model", written, "--out", small], check=True)
        cosine = float((Bert(read_config(small)).load(small)(ids, mask)[1] * want).sum(1).mean())
        assert cosine > 0.99, (kind, cosine)
        print(f"{kind}: read as written; int8 within a cosine of {cosine:.5f}")


if __name__ == "__main__":
    torch.manual_seed(0)
    layers()
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        checkpoints(folder)

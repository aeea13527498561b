import math

import numpy as np
import pytest

import cmm

SHAPES = [(5, 3, 1, 0), (16, 16, 1, 4), (33, 20, 3, 2), (64, 8, 2, 5)]
gelu = np.vectorize(lambda z: 0.5 * z * (1 + math.erf(z / math.sqrt(2))), otypes=[float])


def weights(inputs, outputs, trees, depth, sides, seed=0):
    random = np.random.default_rng(seed)
    nodes = trees * (2 ** (depth + 1) - 1)
    linear_in = random.normal(size=(nodes, inputs)).astype(np.float32) / np.float32(inputs**0.5)
    bias = random.normal(size=nodes).astype(np.float32) / 10
    return linear_in, bias, random.normal(size=(outputs, sides * nodes)).astype(np.float32)


def truth(x, linear_in, bias, linear_out, trees, depth, signed):
    """Computes algorithm 1 in plain loops and f64."""
    per_tree = 2 ** (depth + 1) - 1
    y, path = np.zeros((len(x), len(linear_out))), np.zeros((len(x), trees, depth + 1), int)
    for token, row in enumerate(x.astype(float)):
        for tree in range(trees):
            node = 0
            for level in range(depth + 1):
                path[token, tree, level] = node
                place = tree * per_tree + node
                z = linear_in[place].astype(float) @ row + bias[place]
                column = 2 * place + (z > 0) if signed else place
                y[token] += gelu(abs(z) if signed else z) * linear_out[:, column]
                node = 2 * node + 1 + (z > 0)
    return y, path


@pytest.mark.parametrize("form", ["published", "signed"])
@pytest.mark.parametrize(("inputs", "outputs", "trees", "depth"), SHAPES)
@pytest.mark.parametrize("on", ["cpu", "adapter"])
def test_agrees_with_plain_loops(form, inputs, outputs, trees, depth, on, request):
    device = "cpu" if on == "cpu" else request.getfixturevalue("software")
    arrays = weights(inputs, outputs, trees, depth, 1 + (form == "signed"))
    layer = cmm.FffLayer(*arrays, trees=trees, depth=depth, form=form, device=device)
    x = np.random.default_rng(1).normal(size=(50, inputs)).astype(np.float32)
    y, path = truth(x, *arrays, trees, depth, form == "signed")
    assert np.array_equal(layer.path(x), path)
    assert np.abs(layer.forward(x) - y).max() <= 2e-5 * max(1, np.abs(y).max())
    both = layer.forward_with_path(x)
    assert np.array_equal(both[0], layer(x)) and np.array_equal(both[1], path)
    assert both[0].dtype == np.float32 and both[1].dtype == np.uint32


@pytest.mark.parametrize("activation", ["gelu", "relu"])
@pytest.mark.parametrize("biased", [True, False])
def test_the_leaf_form_agrees_with_plain_loops(activation, biased):
    inputs, outputs, depth, width = 12, 7, 3, 5
    random = np.random.default_rng(2)

    def array(*shape):
        return random.normal(size=shape).astype(np.float32)

    node_weights, node_biases, w1s, b1s = array(7, inputs), array(7, 1), array(8, inputs, width), array(8, width)
    w2s, b2s = array(8, width, outputs), array(8, outputs) if biased else None
    layer = cmm.FffLayer.leaf(node_weights, node_biases, w1s, b1s, w2s, b2s, activation=activation, device="cpu")
    x = array(40, inputs)
    y, path = np.zeros((40, outputs)), np.zeros((40, 1, depth + 1), int)
    for token, row in enumerate(x.astype(float)):
        node = 0
        for level in range(depth):
            path[token, 0, level] = node
            node = 2 * node + 1 + (node_weights[node] @ row + node_biases[node, 0] >= 0)
        path[token, 0, depth] = node
        leaf = node - 7
        z = row @ w1s[leaf] + b1s[leaf]
        y[token] = (gelu(z) if activation == "gelu" else np.maximum(z, 0)) @ w2s[leaf] + (b2s[leaf] if biased else 0)
    assert np.array_equal(layer.path(x), path)
    assert np.abs(layer.forward(x) - y).max() <= 2e-5 * np.abs(y).max()
    assert layer.form == "leaf" and layer.depth == 3


def test_shapes_and_dtypes_of_x():
    layer = cmm.FffLayer(*weights(6, 4, 2, 3, 1), trees=2, depth=3, device="cpu")
    x = np.random.default_rng(3).normal(size=(2, 5, 6))
    y = layer.forward(x)
    assert y.shape == (2, 5, 4) and layer.path(x).shape == (2, 5, 2, 4)
    assert np.array_equal(layer.forward(x[1, 2]), y[1, 2]) and layer.path(x[0, 0]).shape == (2, 4)
    assert layer.forward(np.zeros((0, 6))).shape == (0, 4) and layer.path(np.zeros((3, 0, 6))).shape == (3, 0, 2, 4)
    assert np.array_equal(layer.forward(np.asfortranarray(x[0])), y[0])
    assert np.array_equal(layer.forward(np.repeat(x[0], 2, axis=1)[:, ::2]), y[0])
    assert layer.forward(np.ones((2, 6), np.int64)).shape == (2, 4)
    assert "2x3, 6->4" in repr(layer)


def test_bias_none_is_zero_and_many_tokens_go_in_steps():
    linear_in, bias, linear_out = weights(768, 768, 1, 11, 1)
    x = np.random.default_rng(4).normal(size=(30_000, 768)).astype(np.float32)
    without = cmm.FffLayer(linear_in, None, linear_out, depth=11, device="cpu")
    zero = cmm.FffLayer(linear_in, 0 * bias, linear_out, depth=11, device="cpu")
    y = without.forward(x)
    assert np.array_equal(y, zero.forward(x))
    assert np.abs(y[-100:] - without.forward(x[-100:])).max() <= 1e-5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"linear_in": np.zeros((14, 6))}, r"linear_in: expected shape \[nodes=15, input\], found \[14, 6\]"),
        ({"linear_in": np.zeros(15)}, r"linear_in: expected shape \[nodes=15, input\], found \[15\]"),
        ({"bias": np.zeros((15, 1))}, r"bias: expected shape \[nodes=15\], found \[15, 1\]"),
        ({"linear_out": np.zeros((4, 14))}, r"linear_out: expected shape \[output, nodes=15\], found \[4, 14\]"),
        ({"form": "signed"}, r"linear_out: expected shape \[output, 2 \* nodes=30\], found \[4, 15\]"),
        ({"form": "leaf"}, "FffLayer.leaf"),
        ({"depth": 32}, "depth: expected 0 to 31"),
        ({"depth": -1}, "depth: expected 0 to 31"),
        ({"depth": 2.5}, "linear_in|depth"),
        ({"trees": 0}, "trees: expected at least 1"),
        ({"linear_in": np.full((15, 6), np.nan)}, r"linear_in\[0, 0\]: expected a finite number of f32, found nan"),
        ({"linear_in": np.zeros((15, 0))}, "input width: expected 1"),
        ({"precision": "int8"}, "precision: expected f32 or f16"),
    ],
)
def test_bad_layers_are_refused(change, said):
    linear_in, bias, linear_out = weights(6, 4, 1, 3, 1)
    given = {"linear_in": linear_in, "bias": bias, "linear_out": linear_out, "depth": 3, "device": "cpu", **change}
    with pytest.raises(cmm.InputError, match=said):
        cmm.FffLayer(**given)


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (np.zeros((2, 5)), r"x: expected shape \[..., input=6\], found \[2, 5\]"),
        (np.float32(1), r"found \[\]"),
        (np.full((1, 6), np.inf), r"x\[0, 0\]: expected a finite number"),
        (np.zeros((1, 6), complex), "expected an array of real numbers, found dtype complex128"),
        ([["a"] * 6], "expected an array of real numbers"),
        (np.full((1, 6), 1e38), "overflows"),
    ],
)
def test_bad_x_is_refused(x, said):
    linear_in, bias, linear_out = weights(6, 4, 1, 3, 1)
    layer = cmm.FffLayer(linear_in * 100, bias, linear_out, depth=3, device="cpu")
    with pytest.raises(cmm.InputError, match=said):
        layer.forward(x)

"""Initialises new feedforward layers near the original ones, by fitting them to the inputs and
outputs of those.

A tree's decisions get no gradient of their own (routing is hard), so their beginning matters more
than that of a dense layer. Each node looks in the direction of its tokens' inputs that varies most
with what is still missing of their outputs, decides at the median, which balances the tree, and
adds the best multiple of its activation; in the signed form it has one on either side. A leaf
begins as a constant, or in the signed form as a node like the others. One tree is fitted after
another.

A dense layer, and each leaf of the leaf form, begins with the neurons of the original layer that
matter most for the outputs of its tokens, and with the output weights that fit best. Then the leaf
form's decisions are fitted to its leaves, and these to their new tokens (decide.py).
"""
import torch
import torch.nn.functional as F

from bert import Beside, Dense, Leaves, Signed
from decide import decide, descend, leaf_errors

ITERATIONS = 6  # of the power method; a direction near the best one is enough
# Whether leaves of the signed form are split as nodes are, because the sign of their logits also
# chooses a row. Otherwise each begins with weight 0 and bias 1, and one of its two rows is never
# used. docs/retention.md has the difference.
SPLIT_LEAVES = True
ROUNDS = 3  # of fitting the leaf form's decisions to its leaves, and the leaves to their tokens


def sample(batches, count):
    """Returns batches of ids and masks that hold `count` tokens."""
    found = []
    for ids, mask in batches:
        found.append((ids, mask))
        count -= int(mask.sum())
        if count <= 0:
            break
    return found


@torch.no_grad()
def observe(model, batches):
    """Returns the inputs and outputs of each feedforward layer, both [tokens, width]."""
    inputs, outputs, hooks = [[] for _ in model.layers], [[] for _ in model.layers], []
    for layer, into, out_of in zip(model.layers, inputs, outputs):

        def keep(_, arguments, output, into=into, out_of=out_of):
            into.append(arguments[0][arguments[1]])
            out_of.append(output[arguments[1]])

        hooks.append(layer.ffn.register_forward_hook(keep))
    with torch.compiler.set_stance("force_eager"):  # a compiled layer would not call hooks
        for ids, mask in batches:
            model(ids, mask)
    for hook in hooks:
        hook.remove()
    for x, y in zip(inputs, outputs):
        yield torch.cat(x), torch.cat(y)
        x.clear()
        y.clear()


@torch.no_grad()
def grow(student, teacher, batches, count):
    """Fits the layers on up to `count` tokens of `batches`, which are tensors of ids and masks."""
    for mine, original, (x, y) in zip(student.layers, teacher.layers, observe(teacher, sample(batches, count))):
        fit(mine.ffn, x, y, original)


@torch.no_grad()
def redecide(student, teacher, batches, count):
    """Fits the decisions of a student of the leaf form, in training, to its leaves. The state after
    the layer decides what is best.
    """
    batches = sample(batches, count)
    found = zip(student.layers, teacher.layers, observe(student, batches), observe(teacher, batches))
    for mine, original, (x, _), (before, added) in found:
        decide(mine.ffn, x, leaf_errors(mine.ffn, x, distance_after(mine, x, original.norm2(before + added))))


def distance_after(layer, x, want):
    """Returns the distance that an output of the feedforward layer at x causes in the state after
    the layer.
    """
    return lambda rows, output: (layer.norm2(x[rows] + output) - want[rows]).square().sum(1)


def fit(layer, x, y, original):
    """`original` is a layer of the network that y is from. The norm after it says which parts of an
    output matter.
    """
    if isinstance(layer, Beside):
        # The trees fit what is left by the neurons that are always on.
        fit_dense(layer.dense, x, y, original)
        fit(layer.trees, x, y - layer.dense(x, None), original)
    elif isinstance(layer, Dense):
        fit_dense(layer, x, y, original)
    elif isinstance(layer, Leaves):
        fit_leaves(layer, x, y, original)
    else:
        fit_trees(layer, x, y, original.norm2.weight)


def fit_dense(layer, x, y, original):
    weight, bias = chosen(x, original, len(layer.up.weight))
    layer.up.weight[: len(weight)], layer.up.bias[: len(weight)] = weight, bias
    weight, layer.down.bias[:] = least_squares(F.gelu(layer.up(x)), y)
    layer.down.weight[:] = weight.t()


def chosen(x, original, count):
    """Returns the input weights and biases of the `count` neurons of the original layer that matter
    most for its outputs at x.
    """
    up, down = original.ffn.up, original.ffn.down
    said = F.gelu(up(x)).var(0) * (down.weight * original.norm2.weight[:, None]).square().sum(0)
    best = said.topk(min(count, len(said))).indices
    return up.weight[best], up.bias[best]


def least_squares(hidden, y):
    """Returns the matrix and the bias that turn `hidden` into y."""
    a = torch.cat([hidden, hidden.new_ones(len(hidden), 1)], dim=1).double()
    gram = a.t() @ a
    gram += 1e-4 * gram.diagonal().mean() * torch.eye(len(gram), device=a.device)
    fitted = torch.linalg.solve(gram, a.t() @ y.double()).to(y.dtype)
    return fitted[:-1], fitted[-1]


def fit_trees(layer, x, y, importance):
    missing = y.clone()
    for tree in range(layer.trees):
        node = torch.zeros(len(x), dtype=torch.long, device=x.device)
        for level in range(layer.depth + 1):
            nodes = 2**level
            first = tree * layer.nodes + nodes - 1
            if level < layer.depth or SPLIT_LEAVES and isinstance(layer, Signed):
                weight, bias = split(x, missing * importance, node, nodes)
            else:
                weight, bias = x.new_zeros(nodes, x.shape[1]), x.new_ones(nodes)
            z = (x * weight[node]).sum(1) + bias[node]
            best, added = best_rows(layer, z, node, nodes, missing)
            missing -= added
            rows = slice(first, first + nodes)
            layer.weight_in[rows], layer.bias_in[rows] = weight, bias
            layer.weight_out[layer.choices * first : layer.choices * (first + nodes)] = best
            node = 2 * node + (z > 0).long()


def best_rows(form, z, node, nodes, missing):
    """Returns the rows that nodes with logits z add to come nearest to what is missing, and the
    share of each token.
    """
    row, a = form.row(node, z), form.activation(z)[:, None]
    count = form.choices * nodes
    best = summed(a * missing, row, count) / (summed(a * a, row, count) + 1)
    return best, a * best[row]


def fit_leaves(layer, x, y, original):
    missing = y.clone()
    node = torch.zeros(len(x), dtype=torch.long, device=x.device)
    for level in range(layer.depth):
        nodes = 2**level
        rows = slice(nodes - 1, 2 * nodes - 1)
        weight, bias = split(x, missing * original.norm2.weight, node, nodes)
        z = (x * weight[node]).sum(1) + bias[node]
        layer.node_weights[rows], layer.node_biases[rows] = weight, bias
        if layer.node_out is not None:
            best, added = best_rows(Signed, z, node, nodes, missing)
            missing -= added
            layer.node_out[2 * (nodes - 1) : 2 * (2 * nodes - 1)] = best
        node = 2 * node + (z >= 0).long()
    fit_each_leaf(layer, x, missing, node, original)
    # Nodes with an output of their own stay where they began, because their output was fitted
    # there.
    for _ in range(ROUNDS if layer.node_out is None else 0):
        decide(layer, x, leaf_errors(layer, x, distance_after(original, x, original.norm2(x + y))))
        fit_each_leaf(layer, x, y, descend(layer, x, torch.zeros_like(node), layer.depth) - layer.nodes, original)


def fit_each_leaf(layer, x, y, leaf, original):
    """`leaf` is the leaf of each token."""
    order = leaf.argsort(stable=True)
    for leaf, tokens in enumerate(order.split(torch.bincount(leaf, minlength=layer.leaves).tolist())):
        mine, wanted = x[tokens], y[tokens]
        if len(tokens) < 2:
            continue
        weight, bias = chosen(mine, original, layer.w1s.shape[2])
        layer.w1s[leaf][:, : len(bias)], layer.b1s[leaf, : len(bias)] = weight.t(), bias
        layer.w2s[leaf], layer.b2s[leaf] = least_squares(F.gelu(mine @ layer.w1s[leaf] + layer.b1s[leaf]), wanted)


def summed(values, node, nodes):
    """Returns the sums over the tokens of each node."""
    return values.new_zeros(nodes, values.shape[1]).index_add_(0, node, values)


def split(x, missing, node, nodes):
    """Returns the weights and biases of the nodes of a level: half of a node's tokens come out
    above zero, with a spread of one.
    """
    visits = summed(x.new_ones(len(x), 1), node, nodes)
    centred = lambda values: values - (summed(values, node, nodes) / visits.clamp(min=1))[node]
    from_x, from_y = centred(x), centred(missing)
    direction = torch.randn(nodes, x.shape[1], device=x.device)
    for _ in range(ITERATIONS):
        wanted = F.normalize(summed(from_y * (from_x * direction[node]).sum(1, keepdim=True), node, nodes), dim=1)
        direction = F.normalize(summed(from_x * (from_y * wanted[node]).sum(1, keepdim=True), node, nodes), dim=1)
    along = (x * direction[node]).sum(1)
    order = along.argsort()
    order = order[node[order].argsort(stable=True)]
    visits = visits.squeeze(1)
    middle = (visits.cumsum(0) - visits + (visits / 2).floor()).long()
    median = along[order[middle.clamp(max=len(x) - 1)]]
    spread = (summed((from_x * direction[node]).sum(1, keepdim=True) ** 2, node, nodes).squeeze(1) / visits.clamp(min=1)).sqrt()
    # If a node has few tokens, or they are all alike, it is no sharper than ten times the usual.
    scale = 1 / spread.clamp(min=float(spread.mean()) / 10 + 1e-6)
    return direction * scale[:, None], -median * scale

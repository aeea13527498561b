"""Where the training of new feedforward layers begins: near what the original layers do, fitted on their inputs and outputs.

A tree's decisions get no gradient of their own (routing is hard), so that where it begins matters more than for a dense layer. Each node looks
in the direction of its tokens' inputs that varies most with what is still missing of their outputs, decides at the median, which balances the
tree, and adds the best multiple of its activation; in the signed form one on either side. A leaf begins as a constant, or in the signed form as a
node like the others. One tree is fitted after another. A dense layer gets the least-squares fit of its outputs, and so does each leaf of the leaf
form, on what the nodes above it leave.
"""
import torch
import torch.nn.functional as F

from bert import Beside, Dense, Leaves, Signed

ITERATIONS = 6  # of the power method; a direction near the best does
# Whether leaves of the signed form are split as nodes are, since the sign of their logits chooses a row, too; else each begins with weight 0 and bias
# 1, where one of its two rows is never used. docs/retention.md has the difference.
SPLIT_LEAVES = True
# Whether first_matrix begins a dense layer's first matrix; else it begins at random, as in every dense row of docs/retention.md but two.
DENSE_DIRECTIONS = False
LEAF_DIRECTIONS = True  # whether first_matrix begins leaves of the leaf form; else at random


@torch.no_grad()
def grow(student, teacher, batches, count):
    """On up to `count` tokens of `batches`: tensors of ids and masks."""
    inputs, outputs, hooks = [[] for _ in teacher.layers], [[] for _ in teacher.layers], []
    for layer, into, out_of in zip(teacher.layers, inputs, outputs):

        def keep(_, arguments, output, into=into, out_of=out_of):
            into.append(arguments[0][arguments[1]])
            out_of.append(output[arguments[1]])

        hooks.append(layer.ffn.register_forward_hook(keep))
    for ids, mask in batches:
        teacher(ids, mask)
        count -= int(mask.sum())
        if count <= 0:
            break
    for hook in hooks:
        hook.remove()
    for mine, original, x, y in zip(student.layers, teacher.layers, inputs, outputs):
        # The norm behind the layer says what counts of an output.
        fit(mine.ffn, torch.cat(x), torch.cat(y), original.norm2.weight)
        x.clear()
        y.clear()


def fit(layer, x, y, importance):
    if isinstance(layer, Beside):
        # What the trees are for is what neurons that are always on leave to do.
        fit_dense(layer.dense, x, y, importance)
        fit(layer.trees, x, y - layer.dense(x, None), importance)
    elif isinstance(layer, Dense):
        fit_dense(layer, x, y, importance)
    elif isinstance(layer, Leaves):
        fit_leaves(layer, x, y, importance)
    else:
        fit_trees(layer, x, y, importance)


def fit_dense(layer, x, y, importance):
    if DENSE_DIRECTIONS:
        weight, layer.up.bias[:] = first_matrix(x, y * importance, len(layer.up.weight))
        layer.up.weight[:] = weight.t()
    weight, layer.down.bias[:] = least_squares(F.gelu(layer.up(x)), y)
    layer.down.weight[:] = weight.t()


def least_squares(hidden, y):
    """The matrix and the bias that make y of it."""
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
    """The rows that nodes with logits z add to come nearest to what is missing, and what each token gets of them."""
    row, a = form.row(node, z), form.activation(z)[:, None]
    count = form.choices * nodes
    best = summed(a * missing, row, count) / (summed(a * a, row, count) + 1)
    return best, a * best[row]


def fit_leaves(layer, x, y, importance):
    missing = y.clone()
    node = torch.zeros(len(x), dtype=torch.long, device=x.device)
    for level in range(layer.depth):
        nodes = 2**level
        rows = slice(nodes - 1, 2 * nodes - 1)
        weight, bias = split(x, missing * importance, node, nodes)
        z = (x * weight[node]).sum(1) + bias[node]
        layer.node_weights[rows], layer.node_biases[rows] = weight, bias
        if layer.node_out is not None:
            best, added = best_rows(Signed, z, node, nodes, missing)
            missing -= added
            layer.node_out[2 * (nodes - 1) : 2 * (2 * nodes - 1)] = best
        node = 2 * node + (z >= 0).long()
    order = node.argsort(stable=True)
    visits = torch.bincount(node, minlength=layer.leaves).tolist()
    for leaf, tokens in enumerate(order.split(visits)):
        mine, wanted = x[tokens], missing[tokens]
        if not len(tokens):
            continue
        if LEAF_DIRECTIONS and len(tokens) >= layer.w1s.shape[2]:
            layer.w1s[leaf], layer.b1s[leaf] = first_matrix(mine, wanted * importance, layer.w1s.shape[2])
        layer.w2s[leaf], layer.b2s[leaf] = least_squares(F.gelu(mine @ layer.w1s[leaf] + layer.b1s[leaf]), wanted)


def first_matrix(x, y, neurons):
    """Weights and biases of neurons in pairs that look both ways along the directions of x that say most about y: GELU(z) - GELU(-z) is z."""
    centre = x.mean(0)
    from_x, from_y = x - centre, y - y.mean(0)
    covariance = from_x.t() @ from_y
    directions = torch.randn(x.shape[1], (neurons + 1) // 2, device=x.device)
    for _ in range(ITERATIONS):
        directions = torch.linalg.qr(covariance @ (covariance.t() @ directions)).Q
    directions = directions / (from_x @ directions).std(0).clamp(min=1e-6)
    both = torch.cat([directions, -directions], dim=1)[:, :neurons]
    return both, -centre @ both


def summed(values, node, nodes):
    """Sums over each node's tokens."""
    return values.new_zeros(nodes, values.shape[1]).index_add_(0, node, values)


def split(x, missing, node, nodes):
    """Weights and biases of the nodes of a level: half of a node's tokens come out above zero, with a spread of one."""
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
    # Few tokens, or all alike: no sharper than a tenth of the usual.
    scale = 1 / spread.clamp(min=float(spread.mean()) / 10 + 1e-6)
    return direction * scale[:, None], -median * scale

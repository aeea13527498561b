"""Where the training of new feedforward layers begins: near what the original layers do, fitted on their inputs and outputs.

A tree's decisions get no gradient of their own (routing is hard), so that where it begins matters more than for a dense layer. Each node looks
in the direction of its tokens' inputs that varies most with what is still missing of their outputs, decides at the median, which balances the
tree, and adds the best multiple of its activation. A leaf begins as a constant. One tree is fitted after another. A dense layer gets the
least-squares fit of its outputs.
"""
import torch
import torch.nn.functional as F

from bert import Fff

ITERATIONS = 6  # of the power method; a direction near the best does


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
        fit = fit_trees if isinstance(mine.ffn, Fff) else fit_dense
        # The norm behind the layer says what counts of an output.
        fit(mine.ffn, torch.cat(x), torch.cat(y), original.norm2.weight)
        x.clear()
        y.clear()


def fit_dense(layer, x, y, _):
    ones = x.new_ones(len(x), 1)
    a = torch.cat([F.gelu(layer.up(x)), ones], dim=1).double()
    gram = a.t() @ a
    gram += 1e-4 * gram.diagonal().mean() * torch.eye(len(gram), device=x.device)
    fitted = torch.linalg.solve(gram, a.t() @ y.double())
    layer.down.weight.copy_(fitted[:-1].t())
    layer.down.bias.copy_(fitted[-1])


def fit_trees(layer, x, y, importance):
    missing = y.clone()
    for tree in range(layer.trees):
        node = torch.zeros(len(x), dtype=torch.long, device=x.device)
        for level in range(layer.depth + 1):
            nodes = 2**level
            rows = slice(tree * layer.nodes + nodes - 1, tree * layer.nodes + 2 * nodes - 1)
            if level < layer.depth:
                weight, bias = split(x, missing * importance, node, nodes)
            else:
                weight, bias = x.new_zeros(nodes, x.shape[1]), x.new_ones(nodes)
            z = (x * weight[node]).sum(1) + bias[node]
            a = F.gelu(z)[:, None]
            best = summed(a * missing, node, nodes) / (summed(a * a, node, nodes) + 1)
            missing -= a * best[node]
            layer.weight_in[rows], layer.bias_in[rows], layer.weight_out[rows] = weight, bias, best
            node = 2 * node + (z > 0).long()


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

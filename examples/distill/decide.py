"""Fits the decisions of the leaf form, which no gradient reaches, by tree alternating optimisation
(Carreira-Perpinan and Tavallali, *Alternating optimization of decision trees, with application to
learning sparse oblique trees*, NeurIPS 2018).

The leaves are held fixed. From the lowest level up to the root, each node finds out which of its
two children serves each of its tokens better, and becomes the logistic regression that predicts
this. A token weighs as much as the choice matters to it. A node that would choose worse than before
stays as it is.
"""
import torch
import torch.nn.functional as F

STEPS, RATE = 60, 0.02  # of Adam on a level's regressions
AT_ONCE = 65_536  # tokens whose errors are found together


def leaf_errors(layer, x, distance):
    """Returns the loss of each token in each leaf, [tokens, leaves]. distance(rows, output)
    computes it for the tokens of a slice.
    """
    errors = x.new_empty(len(x), layer.leaves)
    for begin in range(0, len(x), AT_ONCE):
        rows = slice(begin, begin + AT_ONCE)
        for leaf in range(layer.leaves):
            hidden = F.gelu(x[rows] @ layer.w1s[leaf] + layer.b1s[leaf])
            errors[rows, leaf] = distance(rows, hidden @ layer.w2s[leaf] + layer.b2s[leaf])
    return errors


def descend(layer, x, node, levels):
    """Returns the nodes that tokens at the nodes `node` reach `levels` levels below, in heap order."""
    if levels:
        logits = F.linear(x, layer.node_weights, layer.node_biases)
    for _ in range(levels):
        node = 2 * node + 1 + (logits.gather(1, node[:, None]).squeeze(1) >= 0).long()
    return node


@torch.no_grad()
def decide(layer, x, errors):
    """Fits the decisions of a layer of Leaves to inputs x, [tokens, width], and their errors, [tokens, leaves]."""
    centre, spread = x.mean(0), x.std(0).clamp(min=1e-6)
    scaled = (x - centre) / spread
    root = torch.zeros(len(x), dtype=torch.long, device=x.device)
    for level in reversed(range(layer.depth)):
        first, nodes = 2**level - 1, 2**level
        node = descend(layer, x, root, level)
        child = lambda side: errors.gather(1, (descend(layer, x, 2 * node + side, layer.depth - level - 1) - layer.nodes)[:, None]).squeeze(1)
        left, right = child(1), child(2)
        sign, weight = torch.where(right < left, 1.0, -1.0), (right - left).abs()
        mine = (node - first)[:, None]
        total = weight.new_zeros(nodes).index_add_(0, mine[:, 0], weight).clamp(min=1e-12)
        logit = lambda parameters: F.linear(scaled, parameters[:, :-1], parameters[:, -1]).gather(1, mine).squeeze(1)
        lost = lambda parameters: weight.new_zeros(nodes).index_add_(0, mine[:, 0], weight * ((logit(parameters) >= 0) != (sign > 0)))
        weights, biases = layer.node_weights[first : first + nodes], layer.node_biases[first : first + nodes]
        before = torch.cat([weights * spread, (biases + weights @ centre)[:, None]], dim=1)
        after = regressed(before, lambda parameters: (weight / total[mine[:, 0]] * F.softplus(-sign * logit(parameters))).sum())
        after = torch.where((lost(after) < lost(before))[:, None], after, before)
        weights.copy_(after[:, :-1] / spread)
        biases.copy_(after[:, -1] - weights @ centre)


def regressed(parameters, loss):
    with torch.enable_grad():
        parameters = parameters.clone().requires_grad_()
        optimizer = torch.optim.Adam([parameters], RATE)
        for _ in range(STEPS):
            optimizer.zero_grad()
            loss(parameters).backward()
            optimizer.step()
    return parameters.detach()

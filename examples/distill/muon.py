"""Muon (Jordan and others, 2024): matrices move by their momentum made orthogonal, scaled like
AdamW's steps (Liu and others, arXiv 2502.16982).

PyTorch has an implementation for single matrices. This one takes stacks of them, such as the leaves
of an FFF layer. It treats all of one shape together, and a GPU can replay it.
"""
import torch

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of Newton and Schulz's iteration, as published
ITERATIONS = 5
MOMENTUM = 0.95


def orthogonal(matrices):
    """Returns the nearest matrices whose singular values are about one. `matrices` is [count, rows,
    columns], with at most as many rows as columns.
    """
    a, b, c = COEFFICIENTS
    x = matrices.bfloat16()
    x = x / (x.float().square().sum((1, 2), keepdim=True).sqrt() + 1e-7).to(x.dtype)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


class Muon(torch.optim.Optimizer):
    """Parameters are [..., rows, columns]. `parts` of a parameter is the number of matrices that it
    stacks below each other.
    """

    def __init__(self, params, lr, weight_decay=0.0):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "parts": 1})

    @torch.no_grad()
    def step(self):
        by_shape = {}
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(parameter)
                momentum = state["momentum"].lerp_(parameter.grad, 1 - MOMENTUM)
                update = parameter.grad.lerp(momentum, MOMENTUM)
                update = update.view(-1, parameter.shape[-2] // group["parts"], parameter.shape[-1])
                wide = update if update.shape[1] <= update.shape[2] else update.mT
                by_shape.setdefault(tuple(wide.shape[1:]), []).append((parameter, group, update, wide))
        for shape, members in by_shape.items():
            found = orthogonal(torch.cat([wide for *_, wide in members]))
            for (parameter, group, update, _), part in zip(members, found.split([len(wide) for *_, wide in members])):
                part = part if part.shape == update.shape else part.mT
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.sub_(group["lr"] * 0.2 * max(shape) ** 0.5 * part.reshape(parameter.shape))

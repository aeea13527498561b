"""Where the training of new feedforward layers begins: near what the original layers do, greedily fitted on their inputs and outputs.

A tree's decisions get no gradient of their own (routing is hard), so that where it begins matters more than for a dense layer. Each node looks
in the direction of its tokens' inputs that varies most with what is still missing of their outputs, decides at the median, so that the tree is
balanced, and adds the best multiple of its activation. A leaf begins as a constant. Trees are fitted one after another, a dense layer at once.
"""
import torch
import torch.nn.functional as F

from bert import Fff

ITERATIONS = 6  # of the power method; a direction near the best does


class Recorder:
    """Inputs and outputs of the feedforward layers on up to `count` tokens, outputs as the norm behind them weighs them."""

    def __init__(self, model, count):
        self.model, self.count = model, count

    @torch.no_grad()
    def __call__(self, index, batches):
        layer, inputs, outputs, mask = self.model.layers[index], [], [], None

        def keep(_, arguments, output):
            real = mask.flatten()
            inputs.append(arguments[0][real])
            outputs.append(output[real] if torch.is_tensor(output) else output[0][real])

        hook = layer.ffn.register_forward_hook(keep)
        found = 0
        for ids, mask in batches:
            self.model(ids, mask)
            found += int(mask.sum())
            if found >= self.count:
                break
        hook.remove()
        return torch.cat(inputs), torch.cat(outputs)

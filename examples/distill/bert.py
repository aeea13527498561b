"""BERT encoders whose feedforward layers are dense or FFF. They are read from and written to the
checkpoints that `cmm` loads.
"""
import json
import os
import shutil

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import nn

# The files of a sentence-transformers directory besides config and weights.
EXTRAS = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "modules.json", "sentence_bert_config.json"]


def aligned(tensor):
    """Adds rows of zeros up to a multiple of 8, which matrix products are fast for."""
    more = -len(tensor) % 8
    return F.pad(tensor, (0, 0, 0, more) if tensor.dim() == 2 else (0, more))


def unbalanced(z, node, real, nodes):
    """How far the decisions of a batch are from even at each node, weighted by the tokens that pass
    it. z is [tokens, ...] at the nodes `node`.
    """
    sums = z.new_zeros(2, nodes, dtype=torch.float)
    counted = real.view(-1, *[1] * (z.dim() - 1)).expand_as(z)
    decisions = torch.stack([(torch.tanh(z.float()) * counted).flatten(), counted.flatten()])
    total, visits = sums.index_add(1, node.flatten(), decisions.to(sums.dtype))
    return (total**2 / visits.clamp(min=1)).sum() / visits.sum()


class Trees(nn.Module):
    """Balanced trees of `depth` decisions. The last call leaves `last_path`, [tokens, trees, depth
    + 1]: heap-order numbers from a tree's root to its leaf.
    """

    def reached(self):
        """Returns the numbers of the leaves that the last call reached, [tokens, trees]."""
        trees = torch.arange(self.last_path.shape[1], device=self.last_path.device)
        return self.last_path[:, :, -1] - (2**self.depth - 1) + trees * 2**self.depth


class Fff(Trees):
    """K balanced trees of D + 1 levels in which every node is a neuron. A token engages one branch
    of each tree (arXiv 2311.10770, algorithm 1).
    """

    choices = 1  # rows of weight_out that a node chooses from

    def __init__(self, width, trees, depth):
        super().__init__()
        self.trees, self.depth, self.nodes = trees, depth, 2 ** (depth + 1) - 1
        self.leaves = trees * 2**depth
        count = trees * self.nodes
        self.weight_in = nn.Parameter(torch.randn(count, width) / width**0.5)
        # Leaves decide nothing. A bias there lets each begin with an output of its own, for which
        # an FFF layer has no other parameter.
        bias = torch.zeros(trees, self.nodes)
        bias[:, self.nodes // 2 :] = 1.0
        self.bias_in = nn.Parameter(bias.flatten())
        # A token adds K (D + 1) rows.
        self.weight_out = nn.Parameter(torch.randn(self.choices * count, width) * (0.5 / (trees * (depth + 1)) ** 0.5 / width**0.5))

    @staticmethod
    def activation(z):
        return F.gelu(z)

    @staticmethod
    def row(node, z):
        """Returns the row of weight_out that a node adds whose logit is z."""
        return node

    def path(self, z):
        """Returns the engaged nodes, [tokens, trees, levels]. A token goes right iff z > 0, a hard
        decision as in inference. z is [tokens, all nodes of all trees].
        """
        first = torch.arange(self.trees, device=z.device) * self.nodes
        node = torch.zeros(z.shape[0], self.trees, dtype=torch.long, device=z.device)
        path = [node]
        for _ in range(self.depth):
            node = 2 * node + 1 + (z.gather(1, node + first) > 0).long()
            path.append(node)
        return torch.stack(path, dim=2)

    def forward(self, x, real):
        """`real` says which rows are tokens. Padding gets an output too, but does not count."""
        # All logits are computed, the path takes its own, and the product has mostly zeros. On a
        # GPU this trains faster than gathering rows. The gradient passes through the engaged nodes
        # alone.
        z = F.linear(x, aligned(self.weight_in), aligned(self.bias_in))
        with torch.no_grad():
            self.last_path = self.path(z)
        first = torch.arange(self.trees, device=z.device)[:, None] * self.nodes
        place = self.last_path + first
        engaged = z.gather(1, place.flatten(1))
        deciding = engaged.view_as(place)[:, :, :-1]
        self.imbalance = unbalanced(deciding, place[:, :, :-1], real, self.trees * self.nodes) if self.depth else z.new_zeros(())
        rows = aligned(self.weight_out)
        added = z.new_zeros(len(z), len(rows)).scatter_(1, self.row(place.flatten(1), engaged), self.activation(engaged))
        return added @ rows

    def tensors(self):
        return {
            "linear_in.weight": self.weight_in,
            "linear_in.bias": self.bias_in,
            "linear_out.weight": self.weight_out.t(),
        }


class Signed(Fff):
    """Trees whose decisions also choose the output row: a node adds GELU(|z|) times its row for z
    <= 0, which comes first in weight_out, or its row for z > 0.
    """

    choices = 2

    @staticmethod
    def activation(z):
        return F.gelu(z.abs())

    @staticmethod
    def row(node, z):
        return 2 * node + (z > 0).long()


class Leaves(Trees):
    """The leaf form (arXiv 2308.14711): a token goes right iff a node's logit is >= 0, and the leaf
    that it reaches is a small dense layer of its own.

    Nodes only route, and their weights get no gradient except that of their imbalance. With `adds`
    they are also signed neurons.
    """

    BLOCK = 128  # tokens of one leaf that are multiplied together

    def __init__(self, width, depth, neurons, adds=False):
        super().__init__()
        self.depth, self.nodes, self.leaves = depth, 2**depth - 1, 2**depth
        self.node_weights = nn.Parameter(torch.randn(self.nodes, width) / width**0.5)
        self.node_biases = nn.Parameter(torch.zeros(self.nodes))
        self.node_out = nn.Parameter(torch.zeros(2 * self.nodes, width)) if adds else None
        uniform = lambda bound, *shape: nn.Parameter((2 * torch.rand(*shape) - 1) * bound)
        self.w1s, self.b1s = uniform(width**-0.5, self.leaves, width, neurons), uniform(width**-0.5, self.leaves, neurons)
        self.w2s, self.b2s = uniform(neurons**-0.5, self.leaves, neurons, width), nn.Parameter(torch.zeros(self.leaves, width))

    def forward(self, x, real):
        z = F.linear(x, aligned(self.node_weights), aligned(self.node_biases))
        with torch.no_grad():
            node = torch.zeros(len(z), dtype=torch.long, device=z.device)
            path = []
            for _ in range(self.depth):
                path.append(node)
                node = 2 * node + 1 + (z.gather(1, node[:, None]).squeeze(1) >= 0).long()
            self.last_path = torch.stack([*path, node], dim=1)[:, None]
            path = self.last_path[:, 0, :-1]
        engaged = z.gather(1, path)
        # Nodes that only route stay as they are. The imbalance would be all that moves them (Adam
        # makes a full step of it), and it costs more than it gains.
        self.imbalance = unbalanced(engaged if self.node_out is not None else engaged.detach(), path, real, self.nodes)
        y = self.leaf(x.to(z.dtype), node - self.nodes)
        if self.node_out is None:
            return y
        rows = aligned(self.node_out)
        return y + z.new_zeros(len(z), len(rows)).scatter_(1, Signed.row(path, engaged), Signed.activation(engaged)) @ rows

    def leaf(self, x, leaf):
        """Returns each token's leaf. Tokens are laid out leaf by leaf in whole blocks; the number
        of blocks does not depend on the tokens.
        """
        count = len(x) // self.BLOCK + self.leaves
        with torch.no_grad():
            visits = leaf.new_zeros(self.leaves).index_add(0, leaf, torch.ones_like(leaf))
            blocks = (visits + self.BLOCK - 1) // self.BLOCK
            order = leaf.argsort(stable=True)
            of_token = leaf[order]
            rank = torch.arange(len(leaf), device=leaf.device) - (visits.cumsum(0) - visits)[of_token]
            place = torch.empty_like(leaf).index_copy(0, order, (blocks.cumsum(0) - blocks)[of_token] * self.BLOCK + rank)
            of_block = torch.searchsorted(blocks.cumsum(0), torch.arange(count, device=leaf.device), right=True).clamp(max=self.leaves - 1)
        mine = lambda tensor: tensor.index_select(0, of_block)
        rows = x.new_zeros(count * self.BLOCK, x.shape[1]).index_copy(0, place, x).view(count, self.BLOCK, -1)
        hidden = F.gelu(torch.baddbmm(mine(self.b1s)[:, None], rows, mine(self.w1s)))
        return torch.baddbmm(mine(self.b2s)[:, None], hidden, mine(self.w2s)).flatten(0, 1).index_select(0, place)

    def tensors(self):
        """Returns the tensors under the names that the package `fastfeedforward` gives them."""
        names = {"node_weights": self.node_weights, "node_biases": self.node_biases[:, None]}
        names |= {name: getattr(self, name) for name in ("w1s", "b1s", "w2s", "b2s")}
        return names if self.node_out is None else names | {"node_out": self.node_out}


class Dense(nn.Module):
    leaves = 0

    def __init__(self, width, neurons):
        super().__init__()
        self.up, self.down = nn.Linear(width, neurons), nn.Linear(neurons, width)

    def forward(self, x, real):
        self.imbalance = x.new_zeros(())
        return self.down(F.gelu(self.up(x)))


class Beside(nn.Module):
    """A layer of trees plus a dense layer whose neurons are always on."""

    def __init__(self, trees, dense):
        super().__init__()
        self.trees, self.dense, self.leaves = trees, dense, trees.leaves

    def forward(self, x, real):
        y = self.trees(x, real) + self.dense(x, real)
        self.imbalance = self.trees.imbalance
        return y

    def reached(self):
        return self.trees.reached()

    def tensors(self):
        names = {f"dense.{name}": tensor for name, tensor in self.dense.named_parameters()}
        return self.trees.tensors() | names


def new_ffn(kind, width):
    """Creates a layer from `dense:NEURONS`, `fff:KxD`, `signed:KxD`, `leaf:DxNEURONS` or
    `signed-leaf:DxNEURONS`. `+NEURONS` after one of trees adds neurons that are always on.
    """
    kind, _, beside = kind.partition("+")
    name, size = kind.split(":")
    sizes = [int(part) for part in size.split("x")]
    makers = {
        "dense": Dense,
        "fff": Fff,
        "signed": Signed,
        "leaf": Leaves,
        "signed-leaf": lambda *sizes: Leaves(*sizes, adds=True),
    }
    layer = makers[name](width, *sizes)
    return Beside(layer, Dense(width, int(beside))) if beside else layer


def kind_of(config):
    """Returns the kind that a config.json names."""
    ffn = config.get("ffn")
    if ffn is None:
        return f"dense:{config['intermediate_size']}"
    form = ffn.get("form", "fff")
    sizes = ("depth", "leaf_width") if form == "leaf" else ("trees", "depth")
    return f"{form}:{ffn[sizes[0]]}x{ffn[sizes[1]]}"


def entries_of(kind):
    """Returns the entries of config.json that name a kind; none for a kind that has no place in a
    checkpoint yet.
    """
    name, size = kind.split(":")
    if name == "dense" and "+" not in size:
        return {"intermediate_size": int(size)}
    if name not in ("fff", "signed", "leaf") or "+" in size:
        return None
    first, second = map(int, size.split("x"))
    if name == "leaf":
        return {"ffn": {"type": "fff", "form": "leaf", "depth": first, "leaf_width": second}}
    form = {"form": "signed"} if name == "signed" else {}
    return {"ffn": {"type": "fff"} | form | {"trees": first, "depth": second}}


class Layer(nn.Module):
    def __init__(self, config, ffn):
        super().__init__()
        width, eps = config["hidden_size"], config["layer_norm_eps"]
        self.heads = config["num_attention_heads"]
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        self.ffn = ffn

    def forward(self, x, mask):
        batch, length, width = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        context = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
        x = self.norm1(x + self.out(context.transpose(1, 2).reshape(batch, length, width)))
        return self.norm2(x + self.ffn(x.reshape(-1, width), mask.flatten()).view_as(x))


class Bert(nn.Module):
    """`kind` is that of the feedforward layers; the default is the checkpoint's."""

    def __init__(self, config, kind=None):
        super().__init__()
        self.config, width = config, config["hidden_size"]
        self.kind = kind or kind_of(config)
        self.words = nn.Embedding(config["vocab_size"], width)
        self.positions = nn.Embedding(config["max_position_embeddings"], width)
        self.types = nn.Embedding(config["type_vocab_size"], width)
        self.norm = nn.LayerNorm(width, config["layer_norm_eps"])
        layers = config["num_hidden_layers"]
        self.layers = nn.ModuleList(Layer(config, new_ffn(self.kind, width)) for _ in range(layers))

    def forward(self, ids, mask, types=None):
        """Returns the hidden states after the embedding and after each layer, and the normalised
        mean of the last ones over real tokens.
        """
        types = self.types.weight[0] if types is None else self.types(types)
        words = self.words.weight.index_select(0, ids.flatten()).view(*ids.shape, -1)
        x = self.norm(words + self.positions.weight[: ids.shape[1]] + types)
        hidden = [x]
        for layer in self.layers:
            x = layer(x, mask)
            hidden.append(x)
        weight = mask[:, :, None].to(x.dtype)
        return hidden, F.normalize((x * weight).sum(1) / weight.sum(1), dim=1)

    def names(self):
        """Returns the checkpoint's name of each tensor."""
        names = {
            "embeddings.word_embeddings.weight": self.words.weight,
            "embeddings.position_embeddings.weight": self.positions.weight,
            "embeddings.token_type_embeddings.weight": self.types.weight,
        }

        def add(name, module):
            names[f"{name}.weight"], names[f"{name}.bias"] = module.weight, module.bias

        add("embeddings.LayerNorm", self.norm)
        for index, layer in enumerate(self.layers):
            part = f"encoder.layer.{index}"
            for place, name in enumerate(["query", "key", "value"]):
                names[f"{part}.attention.self.{name}.weight"] = layer.qkv.weight.chunk(3)[place]
                names[f"{part}.attention.self.{name}.bias"] = layer.qkv.bias.chunk(3)[place]
            add(f"{part}.attention.output.dense", layer.out)
            add(f"{part}.attention.output.LayerNorm", layer.norm1)
            add(f"{part}.output.LayerNorm", layer.norm2)
            if isinstance(layer.ffn, Dense):
                add(f"{part}.intermediate.dense", layer.ffn.up)
                add(f"{part}.output.dense", layer.ffn.down)
            else:
                names.update({f"{part}.ffn.{name}": tensor for name, tensor in layer.ffn.tensors().items()})
        return names

    def freeze_embeddings(self):
        """Keeps the embeddings as they are, so that several models can share them."""
        for part in (self.words, self.positions, self.types):
            part.requires_grad_(False)

    @torch.no_grad()
    def load(self, directory, but_ffn=False):
        """Copies a checkpoint's weights. With `but_ffn` the feedforward layers stay as they are."""
        stored = load_file(os.path.join(directory, "model.safetensors"))
        for name, tensor in self.names().items():
            ffn = ".ffn." in name or ".intermediate." in name or (".output.dense." in name and ".attention." not in name)
            if not (but_ffn and ffn):
                # int8 matrices come with scales (quantise.py).
                value = stored[name].to(tensor.device, tensor.dtype)
                scale = stored.get(f"{name}.scale")
                tensor.copy_(value if scale is None else value * scale.to(tensor.device))
        return self

    def export(self, directory, origin, dtype=torch.float16, head=None, only_attention=False):
        """Writes a checkpoint that `cmm` loads, with the tokenizer and pooling of the model it came
        from. It has another name until it is whole.

        `head` holds the config entries and tensors of a head on top. With `only_attention` the
        checkpoint names its origin, a folder beside it, as its base, and leaves embeddings,
        feedforward layers and the tokenizer to it.
        """
        entries, tensors = head or ({}, {})
        partial = f"{directory}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        os.makedirs(partial)
        for name in [] if only_attention else EXTRAS:
            if os.path.exists(os.path.join(origin, name)):
                shutil.copy(os.path.join(origin, name), partial)
        if not only_attention and os.path.exists(os.path.join(origin, "1_Pooling")):
            shutil.copytree(os.path.join(origin, "1_Pooling"), os.path.join(partial, "1_Pooling"))
        config = {key: value for key, value in self.config.items() if key != "ffn"} | entries_of(self.kind)
        named = self.names() | tensors
        if only_attention:
            entries = entries | {"base": os.path.basename(os.path.abspath(origin))}
            shared = (".ffn.", ".intermediate.", "_embeddings.")
            named = {name: tensor for name, tensor in named.items() if not any(part in name for part in shared)}
        with open(os.path.join(partial, "config.json"), "w") as file:
            json.dump(config | entries, file, indent=1)
        named = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in named.items()}
        save_file(named, os.path.join(partial, "model.safetensors"), metadata={"format": "pt"})
        shutil.rmtree(directory, ignore_errors=True)
        os.rename(partial, directory)


def read_tokenizer(directory, longest):
    """Reads the tokenizer, which cuts at `longest` tokens and pads nothing."""
    tokenizer = Tokenizer.from_file(os.path.join(directory, "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(longest)
    return tokenizer


def read_config(directory):
    with open(os.path.join(directory, "config.json")) as file:
        return json.load(file)

"""BERT encoders whose feedforward layers are dense or FFF: read from and written to the checkpoints that `cmm` loads."""
import json
import os
import shutil

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import nn

# What a sentence-transformers directory holds beside config and weights.
EXTRAS = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "modules.json", "sentence_bert_config.json"]


class Fff(nn.Module):
    """K balanced trees of D + 1 levels, every node a neuron; a token engages one branch of each (arXiv 2311.10770, algorithm 1)."""

    def __init__(self, width, trees, depth):
        super().__init__()
        self.trees, self.depth, self.nodes = trees, depth, 2 ** (depth + 1) - 1
        count = trees * self.nodes
        self.weight_in = nn.Parameter(torch.randn(count, width) / width**0.5)
        # Leaves decide nothing: a bias there lets each begin with an output of its own, which an FFF layer has no other parameter for.
        bias = torch.zeros(trees, self.nodes)
        bias[:, self.nodes // 2 :] = 1.0
        self.bias_in = nn.Parameter(bias.flatten())
        # A token adds K (D + 1) rows.
        self.weight_out = nn.Parameter(torch.randn(count, width) * (0.5 / (trees * (depth + 1)) ** 0.5 / width**0.5))

    def path(self, z):
        """Nodes engaged, [tokens, trees, levels]: right iff z > 0, hard, as inference does it. z: [tokens, all nodes of all trees]."""
        first = torch.arange(self.trees, device=z.device) * self.nodes
        node = torch.zeros(z.shape[0], self.trees, dtype=torch.long, device=z.device)
        path = [node]
        for _ in range(self.depth):
            node = 2 * node + 1 + (z.gather(1, node + first) > 0).long()
            path.append(node)
        return torch.stack(path, dim=2)

    def forward(self, x, real):
        """`real`: which rows are tokens; padding gets an output too, but does not count."""
        # All logits, of which the path takes its own, and a product with mostly zeros: on a GPU faster to train than gathering rows. The gradient
        # passes through the engaged nodes alone. Matrix products want rows of a multiple of 8.
        more = -len(self.weight_in) % 8
        z = F.linear(x, F.pad(self.weight_in, (0, 0, 0, more)), F.pad(self.bias_in, (0, more)))
        with torch.no_grad():
            self.last_path = self.path(z)
        first = torch.arange(self.trees, device=z.device)[:, None] * self.nodes
        flat = (self.last_path + first).flatten(1)
        engaged = z.gather(1, flat)
        self.imbalance = self.unbalanced(engaged.view_as(self.last_path)[:, :, :-1].float(), real)
        return torch.zeros_like(z).scatter_(1, flat, F.gelu(engaged)) @ F.pad(self.weight_out, (0, 0, 0, more))

    def unbalanced(self, z, real):
        """How far the decisions of a batch, [tokens, trees, depth], are from even at each node, weighted by the tokens that come by."""
        if self.depth == 0:
            return z.new_zeros(())
        node = self.last_path[:, :, :-1] + torch.arange(self.trees, device=z.device)[:, None] * self.nodes
        sums = z.new_zeros(2, self.trees * self.nodes)
        counted = real[:, None, None].expand_as(z)
        decisions = torch.stack([(torch.tanh(z) * counted).flatten(), counted.flatten()])
        total, visits = sums.index_add(1, node.flatten(), decisions.to(sums.dtype))
        return (total**2 / visits.clamp(min=1)).sum() / visits.sum()

    def tensors(self):
        return {
            "linear_in.weight": self.weight_in,
            "linear_in.bias": self.bias_in,
            "linear_out.weight": self.weight_out.t(),
        }


class Dense(nn.Module):
    def __init__(self, width, neurons):
        super().__init__()
        self.up, self.down = nn.Linear(width, neurons), nn.Linear(neurons, width)

    def forward(self, x, real):
        self.imbalance = x.new_zeros(())
        return self.down(F.gelu(self.up(x)))


def new_ffn(kind, width):
    """`fff:1x11` or `dense:1536`."""
    name, size = kind.split(":")
    if name == "fff":
        trees, depth = map(int, size.split("x"))
        return Fff(width, trees, depth)
    return Dense(width, int(size))


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
    """`kind` of the feedforward layers: as the checkpoint has them if nothing is said."""

    def __init__(self, config, kind=None):
        super().__init__()
        self.config, width = config, config["hidden_size"]
        own = config.get("ffn")
        published = f"fff:{own['trees']}x{own['depth']}" if own else f"dense:{config['intermediate_size']}"
        self.kind = kind or published
        self.words = nn.Embedding(config["vocab_size"], width)
        self.positions = nn.Embedding(config["max_position_embeddings"], width)
        self.types = nn.Embedding(config["type_vocab_size"], width)
        self.norm = nn.LayerNorm(width, config["layer_norm_eps"])
        layers = config["num_hidden_layers"]
        self.layers = nn.ModuleList(Layer(config, new_ffn(self.kind, width)) for _ in range(layers))

    def forward(self, ids, mask, types=None):
        """Hidden states after the embedding and after each layer, and the mean of the last over real tokens, normalised."""
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
        """Checkpoint name of each tensor."""
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
            if isinstance(layer.ffn, Fff):
                names.update({f"{part}.ffn.{name}": tensor for name, tensor in layer.ffn.tensors().items()})
            else:
                add(f"{part}.intermediate.dense", layer.ffn.up)
                add(f"{part}.output.dense", layer.ffn.down)
        return names

    def freeze_embeddings(self):
        """They stay as they are, so that several models can share them."""
        for part in (self.words, self.positions, self.types):
            part.requires_grad_(False)

    @torch.no_grad()
    def load(self, directory, but_ffn=False):
        """Copies a checkpoint's weights; with `but_ffn` the feedforward layers stay as they are."""
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
        """Writes a checkpoint that `cmm` loads, with the tokenizer and pooling of the model it came from; under another name first.

        `head`: config entries and tensors of a head on top. With `only_attention` the checkpoint names its origin, a folder beside it, as its base,
        and leaves embeddings, feedforward layers and the tokenizer to it.
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
        config = {key: value for key, value in self.config.items() if key != "ffn"}
        name, size = self.kind.split(":")
        if name == "fff":
            trees, depth = map(int, size.split("x"))
            config["ffn"] = {"type": "fff", "trees": trees, "depth": depth}
        else:
            config["intermediate_size"] = int(size)
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
    """It cuts at so many tokens and pads nothing."""
    tokenizer = Tokenizer.from_file(os.path.join(directory, "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(longest)
    return tokenizer


def read_config(directory):
    with open(os.path.join(directory, "config.json")) as file:
        return json.load(file)

#!/usr/bin/env python3
"""Times whole encoders in PyTorch, to be compared with `cmm bench model model-minilm` on the same
card.

    python3 examples/peers/encoder.py [RESULT.json of cmm bench] [--compile]

These are the dense twins: 16 pre-LN layers 768 wide without biases, with 4,096 neurons (not 4,095,
because PyTorch's half-precision kernels want multiples of 8), and 6 post-LN layers 384 wide with
biases, with 1,536 neurons. They use scaled_dot_product_attention and CUDA graphs; with --compile
torch.compile's max-autotune runs too, and the faster of the two counts. The output is the hidden
states of all tokens; inputs and outputs are on the card. The time is the median of 15 replays.
"""
import json
import sys

import torch
import torch.nn.functional as F

LENGTH = 128
BATCHES = [(1, 16), (1, 128), (8, 128), (128, 128)]
arguments = [a for a in sys.argv[1:] if not a.startswith("--")]
torch.manual_seed(0)


class Layer(torch.nn.Module):
    def __init__(self, width, heads, neurons, pre):
        super().__init__()
        self.heads, self.pre = heads, pre
        self.norm1, self.norm2 = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)
        self.qkv = torch.nn.Linear(width, 3 * width, bias=not pre)
        self.out = torch.nn.Linear(width, width, bias=not pre)
        self.up = torch.nn.Linear(width, neurons, bias=not pre)
        self.down = torch.nn.Linear(neurons, width, bias=not pre)

    def attention(self, x):
        batch, length, width = x.shape
        qkv = self.qkv(x).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        context = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        return self.out(context.reshape(batch, length, width))

    def forward(self, x):
        if self.pre:
            x = x + self.attention(self.norm1(x))
            return x + self.down(F.gelu(self.up(self.norm2(x))))
        x = self.norm1(x + self.attention(x))
        return self.norm2(x + self.down(F.gelu(self.up(x))))


class Encoder(torch.nn.Module):
    def __init__(self, layers, width, heads, neurons, pre):
        super().__init__()
        self.words = torch.nn.Embedding(4096, width)
        self.positions = torch.nn.Embedding(LENGTH, width)
        self.norm = torch.nn.LayerNorm(width)
        self.layers = torch.nn.ModuleList(Layer(width, heads, neurons, pre) for _ in range(layers))
        self.last = torch.nn.LayerNorm(width) if pre else torch.nn.Identity()

    def forward(self, ids):
        x = self.norm(self.words(ids) + self.positions.weight[: ids.shape[1]])
        for layer in self.layers:
            x = layer(x)
        return self.last(x)


def graph_time(run, ids):
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            run(ids)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run(ids)
    times = []
    for _ in range(18):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) * 1e3)
    return sorted(times[3:])[7]


rows = []
with torch.inference_mode():
    for name, shape in [("model", (16, 768, 12, 4096, True)), ("model-minilm", (6, 384, 12, 1536, False))]:
        for kind, dtype, tf32 in [("bf16", torch.bfloat16, False), ("f32", torch.float32, False), ("tf32", torch.float32, True)]:
            torch.backends.cuda.matmul.allow_tf32 = tf32
            encoder = Encoder(*shape).cuda().to(dtype).eval()
            times = {}
            for batch, length in BATCHES:
                ids = torch.randint(0, 4096, (batch, length), device="cuda")
                times[batch * length] = graph_time(encoder, ids)
                if "--compile" in sys.argv:
                    compiled = torch.compile(encoder, mode="max-autotune-no-cudagraphs")
                    times[batch * length] = min(times[batch * length], graph_time(compiled, ids))
            rows.append((f"{name} PyTorch dense {shape[3]} {kind}", times))

if arguments:
    for row in json.load(open(arguments[0]))["rows"]:
        layer = row["layer"].get("encoder")
        if layer is None:
            continue
        kind = f"FFF {layer['trees']}x{layer['depth']}" if layer["trees"] else f"dense {layer['neurons']}"
        name = f"{row['workload']} cmm {kind} {row['precision']}" + (", f16 activations" if row["activations"] == "f16" else "")
        if not any(name == other for other, _ in rows):
            rows.append((name, {}))
        next(times for other, times in rows if other == name)[row["tokens"]] = row["seconds"]["median"] * 1e6
tokens = [batch * length for batch, length in BATCHES]
print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}; us a forward")
print("| encoder | " + " | ".join(f"{b} x {n}" for b, n in BATCHES) + " |")
print("|---" * (len(tokens) + 1) + "|")
for name, times in rows:
    print(f"| {name} | " + " | ".join(f"{times[n]:.0f}" if n in times else "" for n in tokens) + " |")

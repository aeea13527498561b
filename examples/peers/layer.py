#!/usr/bin/env python3
"""Times one feedforward layer of BERT-base in PyTorch, to be compared with `cmm bench bert-base` on
the same card.

    python3 examples/peers/layer.py [RESULT.json of cmm bench]

The dense layer is Linear, GELU, Linear, 768 -> 4096 -> 768 (not 4095, because PyTorch's
half-precision kernels want multiples of 8). The FFF layer is 1x11 by batched matmul as the paper
describes it: the nodes of a level are gathered for all tokens. Both run as CUDA graphs of 20
forwards over 4 inputs, which leaves out Python and launches. The time is the median of 15 replays.
"""
import json
import sys

import torch
import torch.nn.functional as F

TOKENS = [1, 64, 1024, 16384]
WIDTH, NEURONS, DEPTH = 768, 4096, 11
torch.manual_seed(0)


def timed(forward, inputs):
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for x in inputs:
            forward(x)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for run in range(20):
            forward(inputs[run % len(inputs)])
    times = []
    for _ in range(15):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) * 1e3 / 20)
    return sorted(times)[7]


def random(*shape, dtype):
    return ((torch.rand(*shape, device="cuda") * 2 - 1) / shape[-1] ** 0.5).to(dtype)


def inputs(tokens, dtype):
    return [((torch.rand(tokens, WIDTH, device="cuda") * 2 - 1) * 1.7).to(dtype) for _ in range(4)]


rows = []
for name, dtype, tf32 in [("f32", torch.float32, False), ("tf32", torch.float32, True), ("bf16", torch.bfloat16, False)]:
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    w1, b1 = random(NEURONS, WIDTH, dtype=dtype), random(NEURONS, dtype=dtype)
    w2, b2 = random(WIDTH, NEURONS, dtype=dtype), random(WIDTH, dtype=dtype)
    dense = lambda x: F.linear(F.gelu(F.linear(x, w1, b1)), w2, b2)
    rows.append((f"PyTorch dense 4096 {name}", {n: timed(dense, inputs(n, dtype)) for n in TOKENS}))

for name, dtype in [("f32", torch.float32), ("f16", torch.float16)]:
    nodes = 2 ** (DEPTH + 1) - 1
    w_in, b_in, w_out = random(nodes, WIDTH, dtype=dtype), random(nodes, dtype=dtype), random(nodes, WIDTH, dtype=dtype)

    def fff(x):
        node = torch.zeros(x.shape[0], dtype=torch.long, device="cuda")
        y = torch.zeros_like(x)
        for _ in range(DEPTH + 1):
            z = torch.bmm(w_in[node].unsqueeze(1), x.unsqueeze(2)).view(-1) + b_in[node]
            y = y + torch.bmm(F.gelu(z).view(-1, 1, 1), w_out[node].unsqueeze(1)).squeeze(1)
            node = 2 * node + 1 + (z > 0).long()
        return y

    rows.append((f"PyTorch BMM FFF 1x11 {name}", {n: timed(fff, inputs(n, dtype)) for n in TOKENS}))

if len(sys.argv) > 1:
    for row in json.load(open(sys.argv[1]))["rows"]:
        if row["workload"] != "bert-base":
            continue
        layer = "FFF 1x11" if "cmm" in row["layer"] else "dense 4095"
        name = f"cmm {row['unit']} {layer} {row['precision']}" + (", f16 x and y" if row["activations"] == "f16" else "")
        if not any(name == other for other, _ in rows):
            rows.append((name, {}))
        times = next(times for other, times in rows if other == name)
        us = row["seconds"]["median"] * 1e6
        times[row["tokens"]] = min(us, times.get(row["tokens"], us))  # the fastest of several tiles
print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}; us a forward")
print("| layer | " + " | ".join(f"{n} tokens" for n in TOKENS) + " |")
print("|---" * (len(TOKENS) + 1) + "|")
for name, times in rows:
    print(f"| {name} | " + " | ".join(f"{times[n]:.1f}" if n in times else "" for n in TOKENS) + " |")

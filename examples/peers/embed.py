#!/usr/bin/env python3
"""Runs the same batches as `time_embed` through PyTorch on the same card, and compares the vectors.

    cargo run --release --example time_embed -- MODEL_DIR LINES.txt OUT_DIR
    python3 examples/peers/embed.py MODEL_DIR OUT_DIR
"""
import json
import struct
import sys
import time

import torch
import torch.nn.functional as F

model_dir, out_dir = sys.argv[1:3]
config = json.load(open(f"{model_dir}/config.json"))
hidden, heads = config["hidden_size"], config["num_attention_heads"]
device = torch.device("cuda")


def tensors(path):
    data = open(path, "rb").read()
    (size,) = struct.unpack("<Q", data[:8])
    for name, info in json.loads(data[8 : 8 + size]).items():
        dtype = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}.get(info.get("dtype"))
        if dtype:
            start, end = info["data_offsets"]
            flat = torch.frombuffer(bytearray(data[8 + size + start : 8 + size + end]), dtype=dtype)
            yield name, flat.float().reshape(info["shape"]).to(device)


weights = dict(tensors(f"{model_dir}/model.safetensors"))


def prepared(dtype):
    w = {name: tensor.to(dtype) for name, tensor in weights.items()}
    for layer in range(config["num_hidden_layers"]):
        part = f"encoder.layer.{layer}.attention.self."
        for kind in ("weight", "bias"):
            w[f"{part}qkv.{kind}"] = torch.cat([w[f"{part}{p}.{kind}"] for p in ("query", "key", "value")])
    return w


def forward(w, ids, mask):
    norm = lambda x, name: F.layer_norm(x, (hidden,), w[f"{name}.weight"], w[f"{name}.bias"], config["layer_norm_eps"])
    linear = lambda x, name: F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])
    batch, length = ids.shape
    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][:length]
    x = norm(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    keys = mask[:, None, None, :].bool()
    for layer in range(config["num_hidden_layers"]):
        part = f"encoder.layer.{layer}."
        qkv = linear(x, f"{part}attention.self.qkv").view(batch, length, 3, heads, hidden // heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        context = F.scaled_dot_product_attention(q, k, v, attn_mask=keys)
        context = context.transpose(1, 2).reshape(batch, length, hidden)
        x = norm(x + linear(context, f"{part}attention.output.dense"), f"{part}attention.output.LayerNorm")
        y = linear(F.gelu(linear(x, f"{part}intermediate.dense")), f"{part}output.dense")
        x = norm(x + y, f"{part}output.LayerNorm")
    mean = (x * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
    return F.normalize(mean.float(), dim=1)


batches = []
for batch in json.load(open(f"{out_dir}/batches.json")):
    longest = max(map(len, batch))
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    mask = torch.zeros(len(batch), longest)
    for row, sequence in enumerate(batch):
        ids[row, : len(sequence)] = torch.tensor(sequence)
        mask[row, : len(sequence)] = 1
    batches.append((ids, mask))

for name, dtype, tf32, compiled in [
    ("f32", torch.float32, False, False),
    ("f32 compiled", torch.float32, False, True),
    ("tf32", torch.float32, True, False),
    ("bf16", torch.bfloat16, False, False),
]:
    torch.backends.cuda.matmul.allow_tf32 = tf32
    w = prepared(dtype)
    run = torch.compile(forward, dynamic=True) if compiled else forward
    times = []
    try:
        with torch.inference_mode():
            for _ in range(7):
                torch.cuda.synchronize()
                start = time.perf_counter()
                # Ids come from the host and vectors go back to it, as in the engine.
                vectors = [run(w, ids.to(device), mask.to(device).to(dtype)).cpu() for ids, mask in batches]
                times.append((time.perf_counter() - start) * 1e3)
    except Exception as error:  # a compiler may be missing
        print(f"PyTorch {name}: {str(error).splitlines()[0][:100]}")
        continue
    times = sorted(times[1:])
    print(f"PyTorch {torch.__version__} {name}: median {times[len(times) // 2]:.2f} ms, min {times[0]:.2f}, max {times[-1]:.2f}")
    if name == "f32":
        truth = torch.cat(vectors)

for name in ("f32", "f16"):
    try:
        data = bytearray(open(f"{out_dir}/vectors.{name}", "rb").read())
    except FileNotFoundError:
        continue
    ours = torch.frombuffer(data, dtype=torch.float32).reshape(-1, hidden)
    print(f"cmm {name} against PyTorch f32: smallest cosine {F.cosine_similarity(ours, truth).min().item():.7f}")

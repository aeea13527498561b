#!/usr/bin/env python3
"""Stores a checkpoint's large matrices as int8 with scales, as `cmm` loads them: `name` in I8,
`name.scale` in F32.

    python3 examples/distill/quantise.py --model OUT_DIR/model --out MODEL_DIR

Each row of the embeddings and of an FFF layer's linear_in has its scale, and so has each column of
linear_out. So a scale belongs to one word, to one neuron, or in the signed form to one of a
neuron's two sides. In the leaf form each column of a leaf's two matrices has a scale: in w1s it
belongs to a neuron, in w2s to an output, because a few outputs are ten to thirty times as large as
the others and would set the scale of every neuron's row. Nodes that only route stay f16.
"""
import argparse
import os
import shutil

import torch
from safetensors.torch import load_file, save_file

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", required=True)
parser.add_argument("--out", required=True)
options = parser.parse_args()

tensors = {}
for name, tensor in load_file(os.path.join(options.model, "model.safetensors")).items():
    by_row = name.endswith(("word_embeddings.weight", "linear_in.weight"))
    if by_row or name.endswith(("linear_out.weight", "w1s", "w2s")):
        axis = -1 if by_row else -2
        scale = tensor.float().abs().amax(axis, keepdim=True).clamp(min=1e-12) / 127
        tensors[name] = (tensor.float() / scale).round().to(torch.int8)
        tensors[f"{name}.scale"] = scale
    else:
        tensors[name] = tensor.half() if tensor.is_floating_point() else tensor
partial = f"{options.out}.partial"
shutil.rmtree(partial, ignore_errors=True)
shutil.copytree(options.model, partial)
save_file(tensors, os.path.join(partial, "model.safetensors"), metadata={"format": "pt"})
shutil.rmtree(options.out, ignore_errors=True)
os.rename(partial, options.out)

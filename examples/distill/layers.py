#!/usr/bin/env python3
"""Finds which layer loses most: it replaces a single feedforward layer of the original by a new one
as grow.py begins it, without training.

    python3 examples/distill/layers.py --teacher MODEL_DIR --data GLUE_DIR --ffn leaf:4x256 leaf:3x512

It prints a line of JSON for each kind of layer: the mean cosine to the original on held-back text,
with the first layer replaced, with the second one and so on, and with all of them.
"""
import argparse
import copy
import json

import torch

import texts
from bert import Bert, read_config, read_tokenizer
from distill import GROWN_ON, LONGEST, Batches
from grow import grow

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--teacher", required=True)
parser.add_argument("--data", required=True)
parser.add_argument("--ffn", nargs="+", required=True)
parser.add_argument("--tokens", type=int, default=GROWN_ON, help="the number of tokens that layers are fitted to")
parser.add_argument("--every", type=int, default=4, help="use one held-back sentence of this many")
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

device = "cuda" if torch.cuda.is_available() else "cpu"
config = read_config(options.teacher)
tokenizer = read_tokenizer(options.teacher, LONGEST)
batches = lambda sentences: Batches(sentences, tokenizer, 16_384, config.get("pad_token_id") or 0, device)
trained = batches(texts.train(options.data))
held = batches(sum(texts.held_back(options.data).values(), [])[:: options.every])
teacher = Bert(config).load(options.teacher).to(device).eval().requires_grad_(False)


@torch.no_grad()
def cosine(model):
    total = 0.0
    for rows, length in held.sorted():
        tensors = held.tensors(rows, length)
        total += float((model(*tensors)[1] * teacher(*tensors)[1]).sum())
    return round(total / len(held), 4)


for ffn in options.ffn:
    torch.manual_seed(options.seed)
    student = Bert(config, ffn).load(options.teacher, but_ffn=True).to(device)
    grow(student, teacher, (trained.tensors(*batch) for batch in trained.shaped(options.seed)), options.tokens)
    found = []
    for number, layer in enumerate(student.layers):
        mixed = copy.deepcopy(teacher)
        mixed.layers[number].ffn = layer.ffn
        found.append(cosine(mixed))
    print(json.dumps({"ffn": ffn, "one layer": found, "all": cosine(student)}), flush=True)

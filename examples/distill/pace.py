#!/usr/bin/env python3
"""Measures how long a step of distill.py takes with each feedforward layer, one after another on a
GPU that does nothing else.

    python3 examples/distill/pace.py --teacher MODEL_DIR --ffn fff:1x11 signed:1x11 leaf:7x32

Sentences have 32 made-up tokens, and layers begin anywhere. It prints a line of JSON for each
layer: milliseconds, the median of several rounds.
"""
import argparse
import json
import statistics
import time

import torch

from bert import Bert, read_config
from distill import optimizers_of, trainer
from step import Step

LENGTH = 32

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--teacher", required=True)
parser.add_argument("--ffn", nargs="+", required=True)
parser.add_argument("--batch-tokens", type=int, default=16_384)
parser.add_argument("--steps", type=int, default=20, help="the steps of a round")
parser.add_argument("--optimizer", choices=["adamw", "muon"], default="adamw")
parser.add_argument("--rounds", type=int, default=5)
options = parser.parse_args()
options.inner, options.balance, options.lr = 1.0, 0.02, 1e-3  # the values of distill.py

device = "cuda" if torch.cuda.is_available() else "cpu"
config = read_config(options.teacher)
teacher = Bert(config).load(options.teacher).to(device).eval().requires_grad_(False)
for ffn in options.ffn:
    torch.manual_seed(0)
    student = Bert(config, ffn).load(options.teacher, but_ffn=True).to(device)
    train, _ = trainer(student, teacher, optimizers_of(student, options, device), options, device)
    one_step, rounds = Step(train, device), []
    ids = torch.randint(1000, config["vocab_size"], (options.batch_tokens // LENGTH, LENGTH), device=device)
    mask = torch.ones_like(ids, dtype=torch.bool)
    for _ in range(options.rounds + 1):  # the first round warms up
        begun = time.time()
        for _ in range(options.steps):
            one_step(ids, mask)
        if device == "cuda":
            torch.cuda.synchronize()
        rounds.append((time.time() - begun) / options.steps)
    print(json.dumps({"ffn": ffn, "milliseconds a step": round(1000 * statistics.median(rounds[1:]), 2)}), flush=True)

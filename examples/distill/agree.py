#!/usr/bin/env python3
"""Compares the engine with PyTorch on an exported model: the cosines of the vectors, and the nodes
that tokens engage.

    python3 examples/distill/agree.py --model OUT_DIR/model --data GLUE_DIR [--cmm target/release/cmm] [--precision f32|f16]
"""
import argparse
import json
import os
import subprocess

import torch

import texts
from bert import Bert, Trees, read_config, read_tokenizer

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", required=True)
parser.add_argument("--data", required=True)
parser.add_argument("--cmm", default="target/release/cmm")
parser.add_argument("--precision", default="f32")
parser.add_argument("--vectors", type=int, default=500)
parser.add_argument("--paths", type=int, default=20)
options = parser.parse_args()

sentences = sum(texts.held_back(options.data).values(), [])
sentences = sentences[:: max(1, len(sentences) // options.vectors)][: options.vectors]
model = Bert(read_config(options.model)).load(options.model).eval()
with open(os.path.join(options.model, "sentence_bert_config.json")) as file:
    tokenizer = read_tokenizer(options.model, json.load(file)["max_seq_length"])


def cmm(*arguments, stdin=""):
    command = [options.cmm, *arguments, "--model", options.model, "--precision", options.precision, "--json"]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=True).stdout


def torch_vector(sentence):
    ids = torch.tensor([tokenizer.encode(sentence).ids])
    with torch.no_grad():
        return model(ids, torch.ones_like(ids, dtype=torch.bool))[1][0]


lines = cmm("embed", stdin="\n".join(sentences)).splitlines()
cosines = [
    float(torch.cosine_similarity(torch.tensor(json.loads(line)["embedding"]), torch_vector(sentence), dim=0))
    for line, sentence in zip(lines, sentences, strict=True)
]
print(f"{len(cosines)} sentences: smallest cosine {min(cosines):.7f}, mean {sum(cosines) / len(cosines):.7f}")

equal, decisions = 0, 0
if isinstance(model.layers[0].ffn, Trees):
    for sentence in sentences[: options.paths]:
        torch_vector(sentence)
        report = json.loads(cmm("inspect", "--text", sentence))
        for layer, found in zip(model.layers, report["layers"], strict=True):
            paths = torch.tensor([path for _, path in found["tokens"]])
            same = paths[:, :, 1:] == layer.ffn.last_path[:, :, 1:]
            equal, decisions = equal + int(same.sum()), decisions + same.numel()
    print(f"{options.paths} sentences: {equal} of {decisions} decisions equal, {equal / decisions:.5%}")

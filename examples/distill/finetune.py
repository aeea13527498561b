#!/usr/bin/env python3
"""Fine-tunes a BERT or FastBERT on GLUE tasks, each from the same model, and writes checkpoints for
`cmm glue` and `cmm classify`.

    python3 examples/distill/finetune.py --model MODEL_DIR --data GLUE_DIR --tasks sst2 cola --seed 0 --out OUT

Each task gets a folder, for example OUT-sst2; a folder that exists already is left alone. SST-2,
CoLA and RTE get a head on the first token. STS-B learns its scores as cosines of sentence vectors.
Embeddings stay as they are. With `--tune attention` the feedforward layers do too, and only the
changed weights are written: the rest comes from MODEL_DIR, which must lie beside the new
checkpoint. The model of the last step is written, whatever its score on the dev file. The program
prints a line of JSON for each task.
"""
import argparse
import json
import os
import random
import time

import torch
import torch.nn.functional as F
from torch import nn

import texts
from bert import Bert, read_config, read_tokenizer
from step import Step

LONGEST = 128
LENGTHS = 16  # batches are padded to a multiple of this, so that there are few shapes
EPOCHS = {"sst2": 3, "cola": 8, "rte": 8, "stsb": 6}
BATCH = {"sst2": 128, "cola": 32, "rte": 32, "stsb": 32}
LABELS = {"sst2": ["negative", "positive"], "cola": ["0", "1"], "rte": ["entailment", "not_entailment"], "stsb": []}


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--tasks", nargs="+", default=list(EPOCHS), choices=EPOCHS)
    parser.add_argument("--out", required=True)
    parser.add_argument("--tune", default="all", choices=["all", "attention"])
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int)
    options = parser.parse_args()
    folder = lambda path: os.path.dirname(os.path.abspath(path))
    if options.tune == "attention" and folder(options.out) != folder(options.model):
        parser.error(f"--tune attention: --out must lie beside {options.model}, which the new checkpoints name as their base")
    return options


def examples(data, task):
    """Returns (first text, second text or None, target)."""
    if task == "stsb":
        return [(a, b, score / 5) for a, b, score in texts.stsb(os.path.join(data, "STS-B", "train.csv"))]
    folder, first, second, label = {"sst2": ("SST-2", 1, None, 0), "cola": ("CoLA", 3, None, 1), "rte": ("RTE", 1, 2, 3)}[task]
    rows = [line.split("\t") for line in texts.read(os.path.join(data, folder, "train.tsv")).splitlines() if line]
    rows = rows if task == "cola" else rows[1:]
    named = LABELS["rte"].index if task == "rte" else int
    return [(row[first], None if second is None else row[second], named(row[label])) for row in rows]


class Head(nn.Module):
    """The BERT classification head: tanh of a dense layer on the first token, then the classes."""

    def __init__(self, width, classes):
        super().__init__()
        self.dense, self.out = nn.Linear(width, width), nn.Linear(width, classes)
        for linear in (self.dense, self.out):
            nn.init.normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)

    def forward(self, hidden):
        return self.out(F.dropout(torch.tanh(self.dense(hidden[:, 0])), 0.1, self.training))

    def tensors(self):
        names = {"pooler.dense": self.dense, "classifier": self.out}
        return {f"{name}.{part}": getattr(linear, part) for name, linear in names.items() for part in ("weight", "bias")}


def padded(encodings, length, pad, device):
    rows = lambda part, fill: torch.tensor([getattr(e, part) + [fill] * (length - len(e.ids)) for e in encodings], device=device)
    return rows("ids", pad), rows("attention_mask", 0).bool(), rows("type_ids", 0)


def tune(options, task, out):
    begun = time.time()
    random.seed(options.seed)
    torch.manual_seed(options.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    config = read_config(options.model)
    tokenizer = read_tokenizer(options.model, LONGEST)
    rows = examples(options.data, task)
    paired = task == "rte"
    firsts = tokenizer.encode_batch([(a, b) if paired else a for a, b, _ in rows])
    seconds = tokenizer.encode_batch([b for _, b, _ in rows]) if task == "stsb" else None

    model = Bert(config).load(options.model).to(device)
    head = Head(config["hidden_size"], max(1, len(LABELS[task]))).to(device)
    model.freeze_embeddings()
    if options.tune == "attention":
        for layer in model.layers:
            layer.ffn.requires_grad_(False)
    parameters = [p for p in list(model.parameters()) + list(head.parameters()) if p.requires_grad]
    cuda = device == "cuda"
    rate = torch.tensor(options.lr, device=device)
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01, fused=cuda, capturable=cuda)
    smoothed = torch.zeros((), device=device)

    def train(target, *tensors):
        with torch.autocast(device, torch.bfloat16, cache_enabled=False):
            hidden, vectors = model(*tensors[:3])
            if task == "stsb":
                _, others = model(*tensors[3:])
                loss = F.mse_loss((vectors.float() * others.float()).sum(1), target.float())
            else:
                loss = F.cross_entropy(head(hidden[-1]).float(), target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        smoothed.lerp_(loss.detach().float(), 0.01)

    one_step = Step(train, device)
    size, epochs = BATCH[task], options.epochs or EPOCHS[task]
    steps, step = epochs * (len(rows) // size), 0
    for _ in range(epochs):
        order = list(range(len(rows)))
        random.shuffle(order)
        for start in range(0, len(rows) // size * size, size):
            chosen = order[start : start + size]
            texts_of = [[all_[i] for i in chosen] for all_ in (firsts, seconds) if all_]
            longest = max(len(encoding.ids) for part in texts_of for encoding in part)
            length = -(-longest // LENGTHS) * LENGTHS
            target = torch.tensor([rows[i][2] for i in chosen], device=device)
            rate.fill_(options.lr * min((step + 1) / (0.06 * steps + 1), 1 - step / steps))
            one_step(target, *(tensor for part in texts_of for tensor in padded(part, length, config.get("pad_token_id") or 0, device)))
            step += 1
    entries, tensors = {}, {}
    if task != "stsb":
        labels = dict(enumerate(LABELS[task]))
        entries = {"architectures": ["BertForSequenceClassification"], "id2label": labels, "label2id": {name: i for i, name in labels.items()}}
        tensors = head.tensors()
    model.export(out, options.model, head=(entries, tensors), only_attention=options.tune == "attention")
    print(json.dumps({"task": task, "seed": options.seed, "tune": options.tune, "loss": float(smoothed), "seconds": round(time.time() - begun, 1)}), flush=True)


def main():
    options = parse()
    for task in options.tasks:
        out = f"{options.out}-{task}"
        if not os.path.exists(out):
            tune(options, task, out)


if __name__ == "__main__":
    main()

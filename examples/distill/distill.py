#!/usr/bin/env python3
"""Makes a FastBERT of a BERT: every feedforward layer is replaced by a fresh one, and the whole network distilled from the original.

    python3 examples/distill/distill.py --teacher MODEL_DIR --data GLUE_DIR --out OUT_DIR --ffn fff:1x11 --steps 20000 --seed 0

The student's hidden states after every layer, its sentence vectors and their similarities follow the teacher's; routing is hard, as in
inference. OUT_DIR gets `log.jsonl`, `state.pt` (a run that is cut off goes on from there with the same command) and `model/`, which `cmm` loads.
"""
import argparse
import json
import os
import random
import time

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

import texts
from bert import Bert, Fff, read_config

LONGEST = 128


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--ffn", default="fff:1x11", help="fff:KxD or dense:NEURONS")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--batch-tokens", type=int, default=16_384)
    parser.add_argument("--lr", type=float, default=2e-3, help="of the new layers; the others learn at a tenth of it")
    parser.add_argument("--balance", type=float, default=0.02, help="weight of uneven decisions")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=1000, help="steps between two states and evaluations")
    return parser.parse_args()


class Batches:
    """Sentences as ids, sorted by length into batches of so many tokens, padded within a batch."""

    def __init__(self, sentences, tokenizer, batch_tokens, pad):
        ids = [encoding.ids[:LONGEST] for encoding in tokenizer.encode_batch(sentences)]
        self.order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        self.ids, self.batch_tokens, self.pad = ids, batch_tokens, pad

    def cut(self, shuffle=None):
        """Lists of sentence numbers; shuffled, sentences of about one length are mixed anew each time."""
        order = self.order
        if shuffle is not None:
            order = sorted(order, key=lambda index: len(self.ids[index]) + 2 * shuffle.random())
        batches, batch = [], []
        for index in order:
            if batch and (len(batch) + 1) * len(self.ids[index]) > self.batch_tokens:
                batches.append(batch)
                batch = []
            batch.append(index)
        batches.append(batch)
        if shuffle is not None:
            shuffle.shuffle(batches)
        return batches

    def tensors(self, batch, device):
        longest = max(len(self.ids[index]) for index in batch)
        rows = [self.ids[index] + [self.pad] * (longest - len(self.ids[index])) for index in batch]
        mask = [[True] * len(self.ids[index]) + [False] * (longest - len(self.ids[index])) for index in batch]
        return torch.tensor(rows, device=device), torch.tensor(mask, device=device)


def losses(student, teacher, ids, mask):
    with torch.no_grad():
        want_hidden, want = teacher(ids, mask)
    hidden, got = student(ids, mask)
    mse = [F.mse_loss(h[mask], w[mask]) / w[mask].var() for h, w in zip(hidden[1:], want_hidden[1:])]
    similarity = F.mse_loss(got @ got.t(), want @ want.t())
    return {
        "hidden": sum(mse) / len(mse),
        "cosine": 1 - (got * want).sum(1).mean(),
        "similarity": similarity,
        "imbalance": sum(layer.ffn.imbalance for layer in student.layers) / len(student.layers),
    }


def spearman(a, b):
    def ranks(values):
        _, inverse, counts = torch.unique(values, return_inverse=True, return_counts=True)
        ends = counts.cumsum(0).double()
        return (ends - (counts.double() - 1) / 2)[inverse]

    a, b = ranks(a) - ranks(a).mean(), ranks(b) - ranks(b).mean()
    return float((a * b).sum() / (a.norm() * b.norm()))


@torch.no_grad()
def evaluate(student, teacher, held, pairs, device):
    """Held-back sentences against the teacher, leaves in use, and STS-B."""
    student.eval()
    used = [set() for _ in student.layers]
    count, totals = 0, {"hidden": 0.0, "cosine": 0.0}
    for batch in held.cut():
        ids, mask = held.tensors(batch, device)
        found = losses(student, teacher, ids, mask)
        for name in totals:
            totals[name] += float(found[name]) * len(batch)
        count += len(batch)
        for leaves, layer in zip(used, student.layers):
            if isinstance(layer.ffn, Fff):
                path = layer.ffn.last_path
                trees = torch.arange(path.shape[1], device=device) * layer.ffn.nodes
                leaves.update((path[:, :, -1] + trees).unique().tolist())
    result = {"held hidden": totals["hidden"] / count, "held cosine": 1 - totals["cosine"] / count}
    if isinstance(student.layers[0].ffn, Fff):
        leaves = student.layers[0].ffn.trees * 2 ** student.layers[0].ffn.depth
        result["leaves used"] = sum(map(len, used)) / len(used) / leaves
    for split, (sentences, scores) in pairs.items():
        vectors = torch.zeros(len(sentences.ids), student.config["hidden_size"], device=device)
        for batch in sentences.cut():
            vectors[batch] = student(*sentences.tensors(batch, device))[1].float()
        cosines = (vectors[0::2] * vectors[1::2]).sum(1).double().cpu()
        result[f"stsb {split}"] = spearman(cosines, scores)
    student.train()
    return result


def main():
    options = parse()
    os.makedirs(options.out, exist_ok=True)
    random.seed(options.seed)
    torch.manual_seed(options.seed)
    torch.backends.cuda.matmul.allow_tf32 = True
    device = "cuda" if torch.cuda.is_available() else "cpu"
    config = read_config(options.teacher)
    tokenizer = Tokenizer.from_file(os.path.join(options.teacher, "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(LONGEST)
    pad = config.get("pad_token_id") or 0
    batches = lambda sentences: Batches(sentences, tokenizer, options.batch_tokens, pad)
    trained, held = batches(texts.train(options.data)), batches(texts.held_back(options.data))
    pairs = {}
    for split in ("dev", "test"):
        rows = texts.stsb(os.path.join(options.data, "STS-B", f"{split}.csv"))
        scores = torch.tensor([score for _, _, score in rows], dtype=torch.double)
        pairs[split] = (batches([text for a, b, _ in rows for text in (a, b)]), scores)

    teacher = Bert(config).load(options.teacher).to(device).eval()
    student = Bert(config, options.ffn).load(options.teacher, but_ffn=True).to(device)
    # The embeddings stay the original's, so that they can be stored once for several models.
    for part in (student.words, student.positions, student.types):
        part.requires_grad_(False)
    new = [p for layer in student.layers for p in layer.ffn.parameters()]
    others = [p for n, p in student.named_parameters() if p.requires_grad and ".ffn." not in n]
    groups = [{"params": new, "lr": options.lr}, {"params": others, "lr": options.lr / 10}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.01)
    warm = max(1, options.steps // 50)
    rate = lambda step: min((step + 1) / warm, max(0.0, 1 - step / options.steps) ** 0.7)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)

    state_path, log_path = os.path.join(options.out, "state.pt"), os.path.join(options.out, "log.jsonl")
    step = 0
    if os.path.exists(state_path):
        state = torch.load(state_path, map_location=device)
        student.load_state_dict(state["student"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        step = state["step"]
        print(f"goes on at step {step}")
    epoch, begun, sums, counted = 0, time.time(), {}, 0
    while step < options.steps:
        # The order depends on seed and epoch alone; a run that goes on skips what it has seen.
        order = trained.cut(random.Random(f"{options.seed} {epoch}"))
        epoch += 1
        if step >= epoch * len(order):
            continue
        for batch in order[step - (epoch - 1) * len(order) :]:
            found = losses(student, teacher, *trained.tensors(batch, device))
            loss = found["hidden"] + 4 * found["cosine"] + 4 * found["similarity"] + options.balance * found["imbalance"]
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            step += 1
            counted += 1
            for name, value in found.items():
                sums[name] = sums.get(name, 0.0) + (value.detach() if torch.is_tensor(value) else value)
            if step % options.every == 0 or step == options.steps:
                line = {"step": step, "seconds": round(time.time() - begun, 1)}
                line.update({name: float(value) / counted for name, value in sums.items()})
                line.update(evaluate(student, teacher, held, pairs, device))
                sums, counted = {}, 0
                with open(log_path, "a") as file:
                    file.write(json.dumps(line) + "\n")
                print(json.dumps(line), flush=True)
                state = {"student": student.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict(), "step": step}
                torch.save(state, state_path + ".partial")
                os.replace(state_path + ".partial", state_path)
            if step == options.steps:
                break
    student.export(os.path.join(options.out, "model"), options.teacher)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Makes a FastBERT of a BERT: every feedforward layer is replaced by a fresh one, and the whole network distilled from the original.

    python3 examples/distill/distill.py --teacher MODEL_DIR --data GLUE_DIR --out OUT_DIR --ffn fff:1x11 --minutes 20 --seed 0

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

import texts
from bert import Bert, Fff, read_config, read_tokenizer

LONGEST = 128
FIRST_WORD = 1000  # of BERT's vocabulary; special tokens come before


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--ffn", default="fff:1x11", help="fff:KxD or dense:NEURONS")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, default=20_000)
    length.add_argument("--minutes", type=float, help="instead of steps: the learning rate follows the clock")
    parser.add_argument("--batch-tokens", type=int, default=16_384)
    parser.add_argument("--lr", type=float, default=2e-3, help="of the new layers; the others learn at a tenth of it")
    parser.add_argument("--balance", type=float, default=0.02, help="weight of uneven decisions")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=1000, help="steps between two states and evaluations, whose time is not counted")
    return parser.parse_args()


class Batches:
    """Sentences as ids on the device, cut into batches of about one length and of so many tokens, padded within a batch."""

    def __init__(self, sentences, tokenizer, batch_tokens, pad, device):
        ids = [encoding.ids for encoding in tokenizer.encode_batch(sentences)]
        self.lengths = torch.tensor([len(row) for row in ids])
        self.flat = torch.tensor([token for row in ids for token in row], device=device)
        self.starts = (self.lengths.cumsum(0) - self.lengths).to(device)
        self.on_device = self.lengths.to(device)
        self.batch_tokens, self.pad, self.device = batch_tokens, pad, device

    def __len__(self):
        return len(self.lengths)

    def cut(self, seed=None):
        """Tensors of sentence numbers; with a seed shuffled, sentences of about one length mixed anew."""
        key = self.lengths.float()
        if seed is not None:
            random_ = torch.Generator().manual_seed(seed)
            key = key + 2 * torch.rand(len(key), generator=random_)
        order = key.argsort(stable=True)
        longest, starts = 0, [0]
        for place, length in enumerate(self.lengths[order].tolist()):
            longest = max(longest, length)
            if (place + 1 - starts[-1]) * longest > self.batch_tokens and place > starts[-1]:
                starts.append(place)
                longest = length
        batches = [order[a:b] for a, b in zip(starts, starts[1:] + [len(order)])]
        if seed is not None:
            random.Random(seed).shuffle(batches)
        return batches

    def tensors(self, batch):
        lengths = self.on_device[batch.to(self.device, non_blocking=True)]
        places = torch.arange(int(self.lengths[batch].max()), device=self.device)
        mask = places < lengths[:, None]
        at = self.starts[batch.to(self.device, non_blocking=True)][:, None] + places
        return torch.where(mask, self.flat[at.clamp(max=len(self.flat) - 1)], self.pad), mask


def varied(ids, mask, vocabulary, generator):
    """The teacher has an opinion on any text, and the corpus is small: half of the sentences become the beginning of one and the end of another,
    and half get other words in one place of six."""
    count, length = ids.shape
    chance = lambda *shape: torch.rand(*shape, generator=generator, device=ids.device)
    other = torch.randperm(count, generator=generator, device=ids.device)
    shorter = torch.minimum(mask.sum(1), mask[other].sum(1))
    cut = torch.where(chance(count) < 0.5, 1 + (chance(count) * (shorter - 1)).long(), length)
    first = torch.arange(length, device=ids.device) < cut[:, None]
    ids, mask = torch.where(first, ids, ids[other]), torch.where(first, mask, mask[other])
    words = torch.randint(FIRST_WORD, vocabulary, ids.shape, generator=generator, device=ids.device)
    replaced = (chance(count, 1) < 0.5) & (chance(count, length) < 1 / 6) & (ids >= FIRST_WORD)
    return torch.where(replaced, words, ids), mask


def half_precision(device):
    """Training multiplies in bf16; evaluation does not."""
    return torch.autocast(device, torch.bfloat16)


def losses(student, teacher, ids, mask):
    with torch.no_grad():
        want_hidden, want = teacher(ids, mask)
    hidden, got = student(ids, mask)
    weight = mask[:, :, None] / mask.sum()
    mse = []
    for h, w in zip(hidden[1:], want_hidden[1:]):
        h, w = h.float(), w.float()
        mean = (w * weight).sum() / w.shape[2]
        mse.append((((h - w) ** 2) * weight).sum() / (((w - mean) ** 2) * weight).sum())
    got, want = got.float(), want.float()
    return {
        "hidden": sum(mse) / len(mse),
        "cosine": 1 - (got * want).sum(1).mean(),
        "similarity": F.mse_loss(got @ got.t(), want @ want.t()),
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
        found = losses(student, teacher, *held.tensors(batch))
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
        vectors = torch.zeros(len(sentences), student.config["hidden_size"], device=device)
        for batch in sentences.cut():
            vectors[batch.to(device)] = student(*sentences.tensors(batch))[1]
        cosines = (vectors[0::2] * vectors[1::2]).sum(1).double().cpu()
        result[f"stsb {split}"] = spearman(cosines, scores)
    student.train()
    return result


def main():
    options = parse()
    os.makedirs(options.out, exist_ok=True)
    random.seed(options.seed)
    torch.manual_seed(options.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    config = read_config(options.teacher)
    tokenizer = read_tokenizer(options.teacher, LONGEST)
    pad = config.get("pad_token_id") or 0
    batches = lambda sentences: Batches(sentences, tokenizer, options.batch_tokens, pad, device)
    trained, held = batches(texts.train(options.data)), batches(texts.held_back(options.data))
    pairs = {}
    for split in ("dev", "test"):
        rows = texts.stsb(os.path.join(options.data, "STS-B", f"{split}.csv"))
        scores = torch.tensor([score for _, _, score in rows], dtype=torch.double)
        pairs[split] = (batches([text for a, b, _ in rows for text in (a, b)]), scores)

    teacher = Bert(config).load(options.teacher).to(device).eval()
    student = Bert(config, options.ffn).load(options.teacher, but_ffn=True).to(device)
    student.freeze_embeddings()
    new = [p for layer in student.layers for p in layer.ffn.parameters()]
    others = [p for n, p in student.named_parameters() if p.requires_grad and ".ffn." not in n]
    groups = [{"params": new, "lr": options.lr}, {"params": others, "lr": options.lr / 10}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.01, fused=device == "cuda")
    bases = [group["lr"] for group in groups]

    state_path, log_path = os.path.join(options.out, "state.pt"), os.path.join(options.out, "log.jsonl")
    step, spent = 0, 0.0
    if os.path.exists(state_path):
        state = torch.load(state_path, map_location=device)
        student.load_state_dict(state["student"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent = state["step"], state["seconds"]
        print(f"goes on at step {step}")
    generator = torch.Generator(device).manual_seed(options.seed + step)
    # How much of the training is behind: evaluations do not count.
    begun = time.time() - spent
    progress = lambda: (time.time() - begun) / (60 * options.minutes) if options.minutes else step / options.steps
    epoch, seen, sums, counted = 0, 0, {}, 0
    done = progress() >= 1
    while not done:
        # The order depends on seed and epoch alone; a run that goes on skips what it has seen.
        order = trained.cut(1000 * options.seed + epoch)
        epoch += 1
        seen += len(order)
        if step >= seen:
            continue
        for batch in order[step - seen :]:
            for group, base in zip(optimizer.param_groups, bases):
                group["lr"] = base * min(50 * progress() + 1e-3, max(0.0, 1 - progress()) ** 0.7)
            with half_precision(device):
                found = losses(student, teacher, *varied(*trained.tensors(batch), config["vocab_size"], generator))
            loss = found["hidden"] + 8 * found["cosine"] + 4 * found["similarity"] + options.balance * found["imbalance"]
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            optimizer.step()
            step += 1
            counted += 1
            for name, value in found.items():
                sums[name] = sums.get(name, 0.0) + (value.detach() if torch.is_tensor(value) else value)
            done = progress() >= 1
            if step % options.every == 0 or done:
                line = {"step": step}
                line.update({name: float(value) / counted for name, value in sums.items()})
                spent = time.time() - begun
                line["seconds"] = round(spent, 1)
                line.update(evaluate(student, teacher, held, pairs, device))
                sums, counted = {}, 0
                with open(log_path, "a") as file:
                    file.write(json.dumps(line) + "\n")
                print(json.dumps(line), flush=True)
                state = {"student": student.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "seconds": spent}
                torch.save(state, state_path + ".partial")
                os.replace(state_path + ".partial", state_path)
                begun = time.time() - spent
            if done:
                break
    student.export(os.path.join(options.out, "model"), options.teacher)


if __name__ == "__main__":
    main()

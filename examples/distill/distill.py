#!/usr/bin/env python3
"""Turns a BERT into a FastBERT: every feedforward layer is replaced by a new one, and the whole
network is distilled from the original.

    python3 examples/distill/distill.py --teacher MODEL_DIR --data GLUE_DIR --out OUT_DIR --ffn fff:1x11 --minutes 20 --seed 0

The new layers begin near the original ones (grow.py). Then the student's hidden states after every
layer, its sentence vectors and their similarities follow the teacher's. Routing is hard, as in
inference. OUT_DIR gets `log.jsonl`, `state.pt` (with it the same command resumes an interrupted
run) and `model/`, which `cmm` loads.
"""
import argparse
import copy
import json
import os
import random
import time

import numpy
import torch
import torch.nn.functional as F

import texts
from bert import Bert, entries_of, read_config, read_tokenizer
from grow import grow, redecide
from muon import Muon
from step import Step

LONGEST = 128
LENGTHS = 8  # training pads sentences to a multiple of this, so that there are few shapes
AT_ONCE = 100_000  # sentences that are tokenised together: their encodings take forty times the memory of their ids
GROWN_ON = 400_000  # tokens
REDECIDED_ON = 200_000
DECISIONS = 0.1  # of the learning rate: a moved decision changes the purpose of all nodes below it
NAMES = ["hidden", "last", "cosine", "similarity", "imbalance"]  # of the values that losses() returns
FIRST_WORD = 1000  # of BERT's vocabulary; special tokens come before


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--ffn", default="fff:1x11", help="the feedforward layers: fff:KxD, signed:KxD, leaf:DxNEURONS, dense:NEURONS or another form of bert.py")
    parser.add_argument("--begin", metavar="MODEL_DIR", help="begin from this student, whose layers are those of --ffn, instead of new layers")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, default=20_000)
    length.add_argument("--minutes", type=float, help="train for this time instead of a number of steps; the learning rate follows the clock")
    parser.add_argument("--batch-tokens", type=int, default=16_384)
    parser.add_argument("--text", help="a file of further lines to train on")
    parser.add_argument("--vary", type=float, default=0.5, help="the share of sentences that are crossed with others, and the share that get other words")
    parser.add_argument("--lr", type=float, default=1e-3, help="the learning rate of all weights except those of decisions")
    parser.add_argument("--optimizer", choices=["adamw", "muon"], default="adamw", help="muon trains the matrices of attention and of leaves, and AdamW the rest")
    parser.add_argument("--redecide", type=int, default=0, metavar="TIMES", help="fit the decisions of the leaf form again this often in the first half")
    parser.add_argument("--inner", type=float, default=1.0, help="the weight of the hidden states before the last one")
    parser.add_argument("--balance", type=float, default=0.02, help="the weight of uneven decisions")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=1000, help="steps between two saved states and evaluations; evaluations do not count as time")
    return parser.parse_args()


class Batches:
    """Sentences as ids on the device, cut into batches by their tokens: in few shapes for training,
    by length for evaluation.
    """

    def __init__(self, sentences, tokenizer, batch_tokens, pad, device):
        ids = [
            numpy.array(encoding.ids, numpy.int32)
            for begin in range(0, len(sentences), AT_ONCE)
            for encoding in tokenizer.encode_batch_fast(sentences[begin : begin + AT_ONCE])
        ]
        self.lengths = torch.tensor([len(row) for row in ids])
        self.flat = torch.from_numpy(numpy.concatenate(ids)).to(device, torch.long)
        self.starts = (self.lengths.cumsum(0) - self.lengths).to(device)
        self.on_device = self.lengths.to(device)
        self.batch_tokens, self.pad, self.device = batch_tokens, pad, device

    def __len__(self):
        return len(self.lengths)

    def shaped(self, seed):
        """Yields full batches of shuffled sentences in few shapes: (sentence numbers, length).
        Sentences that do not fill a batch of one length join the next length, and the last ones are
        left out.
        """
        random_ = torch.Generator().manual_seed(seed)
        padded = (self.lengths + LENGTHS - 1) // LENGTHS * LENGTHS
        batches, rest = [], torch.zeros(0, dtype=torch.long)
        for length in padded.unique().tolist():
            pool = torch.cat([rest, (padded == length).nonzero().squeeze(1)])
            pool = pool[torch.randperm(len(pool), generator=random_)]
            count = max(1, self.batch_tokens // length)
            whole = len(pool) // count * count
            batches += [(pool[at : at + count], length) for at in range(0, whole, count)]
            rest = pool[whole:]
        random.Random(seed).shuffle(batches)
        return batches

    def sorted(self):
        """Yields all sentences by length, in batches up to the number of tokens."""
        order = self.lengths.argsort(stable=True)
        starts = [0]
        for place, length in enumerate(self.lengths[order].tolist()):
            if (place + 1 - starts[-1]) * length > self.batch_tokens and place > starts[-1]:
                starts.append(place)
        return [(order[a:b], int(self.lengths[order[b - 1]])) for a, b in zip(starts, starts[1:] + [len(order)])]

    def tensors(self, batch, length):
        batch = batch.to(self.device, non_blocking=True)
        places = torch.arange(length, device=self.device)
        mask = places < self.on_device[batch][:, None]
        at = self.starts[batch][:, None] + places
        return torch.where(mask, self.flat[at.clamp(max=len(self.flat) - 1)], self.pad), mask


def varied(ids, mask, share, vocabulary, generator):
    """The teacher has an opinion on any text, and the corpus is small. So this share of the
    sentences is replaced by the beginning of one sentence and the end of another, and in as many
    sentences one word of six is replaced.
    """
    count, length = ids.shape
    chance = lambda *shape: torch.rand(*shape, generator=generator, device=ids.device)
    other = torch.randperm(count, generator=generator, device=ids.device)
    shorter = torch.minimum(mask.sum(1), mask[other].sum(1))
    cut = torch.where(chance(count) < share, 1 + (chance(count) * (shorter - 1)).long(), length)
    first = torch.arange(length, device=ids.device) < cut[:, None]
    ids, mask = torch.where(first, ids, ids[other]), torch.where(first, mask, mask[other])
    words = torch.randint(FIRST_WORD, vocabulary, ids.shape, generator=generator, device=ids.device)
    replaced = (chance(count, 1) < share) & (chance(count, length) < 1 / 6) & (ids >= FIRST_WORD)
    return torch.where(replaced, words, ids), mask


def errors(hidden, want, mask):
    """Returns for the state after each layer the mean squared error divided by the variance."""
    weight = mask[:, :, None] / mask.sum()
    found = []
    for h, w in zip(hidden, want):
        h, w = h.float(), w.float()
        mean = (w * weight).sum() / w.shape[2]
        found.append((((h - w) ** 2) * weight).sum() / (((w - mean) ** 2) * weight).sum())
    return found


def losses(student, ids, mask, want_hidden, want, errors=errors):
    hidden, got = student(ids, mask)
    mse = errors(hidden[1:], want_hidden[1:], mask)
    got, want = got.float(), want.float()
    return {
        "hidden": sum(mse) / len(mse),
        "last": mse[-1] / len(mse),
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
    """Measures held-back sentences against the teacher, the leaves in use, and STS-B."""
    student.eval()
    used = [set() for _ in student.layers]
    hidden, cosines = 0.0, {}
    for kind, sentences in held.items():
        cosines[kind] = 0.0
        for rows, length in sentences.sorted():
            ids, mask = sentences.tensors(rows, length)
            found = losses(student, ids, mask, *teacher(ids, mask))
            hidden += float(found["hidden"]) * len(rows)
            cosines[kind] += (1 - float(found["cosine"])) * len(rows)
            for leaves, layer in zip(used, student.layers):
                if layer.ffn.leaves:
                    leaves.update(layer.ffn.reached()[mask.flatten()].unique().tolist())
    count = sum(map(len, held.values()))
    result = {"held hidden": hidden / count, "held cosine": sum(cosines.values()) / count}
    result |= {f"held cosine, {kind}": total / len(held[kind]) for kind, total in cosines.items()}
    if student.layers[0].ffn.leaves:
        result["leaves used"] = sum(map(len, used)) / len(used) / student.layers[0].ffn.leaves
    for split, (sentences, scores) in pairs.items():
        vectors = torch.zeros(len(sentences), student.config["hidden_size"], device=device)
        for rows, length in sentences.sorted():
            vectors[rows.to(device)] = student(*sentences.tensors(rows, length))[1]
        cosines = (vectors[0::2] * vectors[1::2]).sum(1).double().cpu()
        result[f"stsb {split}"] = spearman(cosines, scores)
    student.train()
    return result


def groups(named, lr, device):
    """Groups the parameters: decisions learn slower, and weights from the original do not decay."""
    parts = {"new": [], "decisions": [], "original": []}
    for name, parameter in named:
        decides = name.endswith(("_in", "node_weights", "node_biases"))
        part = "original" if ".ffn." not in name else "decisions" if decides else "new"
        parts[part].append(parameter)
    rate = lambda part: {"lr": torch.tensor(lr, device=device), "scale": DECISIONS if part == "decisions" else 1.0}
    return [{"params": found, "weight_decay": 0.0 if part == "original" else 0.01} | rate(part) for part, found in parts.items() if found]


def optimizers_of(student, options, device):
    named, found = list(student.named_parameters()), []
    if options.optimizer == "muon":
        # The matrices of queries, keys and values are stored below each other.
        parts = {"qkv.weight": 3, "out.weight": 1, "up.weight": 1, "down.weight": 1, "w1s": 1, "w2s": 1}
        count = lambda name: next((count for end, count in parts.items() if name.endswith(end)), None)
        stacks = [
            group | {"parts": parts}
            for parts in (1, 3)
            for group in groups([(name, parameter) for name, parameter in named if count(name) == parts], options.lr, device)
        ]
        found.append(Muon(stacks, options.lr))
        named = [(name, parameter) for name, parameter in named if count(name) is None]
    on_gpu = device == "cuda"
    found.append(torch.optim.AdamW(groups(named, options.lr, device), betas=(0.9, 0.98), fused=on_gpu, capturable=on_gpu))
    return found


def trainer(student, teacher, optimizers, options, device):
    """Returns a function for one step on ids and a mask, and the sums of its losses in the order of
    NAMES.
    """
    follow = copy.deepcopy(teacher).to(torch.bfloat16 if device == "cuda" else torch.float32)
    sums, of_states = torch.zeros(len(NAMES), device=device), errors
    if device == "cuda":
        # Kernels of single operations would spend the step on reading and writing what their
        # neighbours have just written or read next. A layer is compiled for the student and the
        # teacher, with and without gradients, for training and evaluation: more often than the
        # limit.
        torch._dynamo.config.recompile_limit = 64
        of_states = torch.compile(errors, dynamic=True)
        for layer in (*student.layers, *follow.layers):
            layer.compile(dynamic=True)

    def train(ids, mask):
        with torch.no_grad():
            wanted = follow(ids, mask)
        with torch.autocast(device, torch.bfloat16, cache_enabled=False):
            found = losses(student, ids, mask, *wanted, errors=of_states)
        hidden = options.inner * (found["hidden"] - found["last"]) + found["last"]
        loss = hidden + 8 * found["cosine"] + 4 * found["similarity"] + options.balance * found["imbalance"]
        student.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        sums.add_(torch.stack([found[name].detach().float() for name in NAMES]))

    return train, sums


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
    trained = batches(texts.train(options.data, options.text))
    held = {kind: batches(found) for kind, found in texts.held_back(options.data, options.text).items()}
    pairs = {}
    for split in ("dev", "test"):
        rows = texts.stsb(os.path.join(options.data, "STS-B", f"{split}.csv"))
        scores = torch.tensor([score for _, _, score in rows], dtype=torch.double)
        pairs[split] = (batches([text for a, b, _ in rows for text in (a, b)]), scores)

    teacher = Bert(config).load(options.teacher).to(device).eval().requires_grad_(False)
    student = Bert(config, options.ffn).load(options.teacher, but_ffn=True).to(device)
    optimizers = optimizers_of(student, options, device)

    state_path, log_path = os.path.join(options.out, "state.pt"), os.path.join(options.out, "log.jsonl")
    step, spent, redecided = 0, 0.0, 0
    if os.path.exists(state_path):
        state = torch.load(state_path, map_location=device)
        student.load_state_dict(state["student"])
        for optimizer, found in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(found)
        step, spent, redecided = state["step"], state["seconds"], state["redecided"]
        print(f"goes on at step {step}")
    elif options.begin:
        student.load(options.begin)
    else:
        grow(student, teacher, (trained.tensors(*batch) for batch in trained.shaped(options.seed)), GROWN_ON)
    begun = time.time() - spent
    generator = torch.Generator(device).manual_seed(options.seed + step)
    train, sums = trainer(student, teacher, optimizers, options, device)
    one_step = Step(train, device)
    # This is the share of the training that is done; evaluations do not count.
    progress = lambda: (time.time() - begun) / (60 * options.minutes) if options.minutes else step / options.steps
    epoch, seen, counted = 0, 0, 0
    done = progress() >= 1
    while not done:
        # The order depends on seed and epoch alone. A run that resumes skips what it has seen.
        order = trained.shaped(1000 * options.seed + epoch)
        if not order:
            raise SystemExit(f"{options.data}: too little text for one batch of {options.batch_tokens} tokens")
        epoch += 1
        seen += len(order)
        if step >= seen:
            continue
        for batch in order[step - seen :]:
            while redecided < options.redecide and progress() >= (redecided + 1) / (2 * options.redecide + 2):
                redecided += 1
                redecide(student, teacher, (trained.tensors(*batch) for batch in trained.shaped(options.seed + 7 * redecided)), REDECIDED_ON)
            for group in (group for optimizer in optimizers for group in optimizer.param_groups):
                group["lr"].fill_(options.lr * group["scale"] * min(50 * progress() + 1e-3, max(0.0, 1 - progress()) ** 0.7))
            one_step(*varied(*trained.tensors(*batch), options.vary, config["vocab_size"], generator))
            step += 1
            counted += 1
            if step % 50 == 0 and device == "cuda":
                torch.cuda.synchronize()  # otherwise the clock runs ahead of the device
            done = progress() >= 1
            if step % options.every == 0 or done:
                line = {"step": step} | {name: value / counted for name, value in zip(NAMES, sums.tolist())}
                spent = time.time() - begun
                line["seconds"] = round(spent, 1)
                line.update(evaluate(student, teacher, held, pairs, device))
                sums.zero_()
                counted = 0
                with open(log_path, "a") as file:
                    file.write(json.dumps(line) + "\n")
                print(json.dumps(line), flush=True)
                state = {"student": student.state_dict(), "optimizers": [optimizer.state_dict() for optimizer in optimizers]}
                state |= {"step": step, "seconds": spent, "redecided": redecided}
                torch.save(state, state_path + ".partial")
                os.replace(state_path + ".partial", state_path)
                begun = time.time() - spent
            if done:
                break
    if entries_of(student.kind):
        student.export(os.path.join(options.out, "model"), options.teacher)


if __name__ == "__main__":
    main()

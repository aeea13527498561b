#!/usr/bin/env python3
"""Compares feedforward layers: each is distilled by the same recipe and number of steps, fine-tuned
on four GLUE tasks, and measured by `cmm glue`.

    python3 examples/distill/study.py --teacher MODEL_DIR --data GLUE_DIR --out OUT_DIR --gpus 0
    python3 examples/distill/study.py --teacher MODEL_DIR --data GLUE_DIR --out OUT_DIR --gpus 0,0,0 --distil-only
    python3 examples/distill/study.py --out OUT_DIR --table

OUT_DIR/study.jsonl gets a line for each layer and seed as soon as it is done; the same command
resumes an interrupted run. `original` is the teacher itself, fine-tuned in the same way; so is a
model given with --also. The table shows the median of several seeds. With --distil-only other
layers, among them the signed and leaf forms, are distilled and nothing else is done: no
fine-tuning, and no `cmm`.
"""
import argparse
import json
import os
import queue
import statistics
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
SEVERAL = ["original", "fff:1x11", "dense:12", "dense:1536"]
ONCE = ["fff:4x9", "fff:16x7", "fff:64x5", "dense:40", "dense:128"]
RUNS = [(ffn, 0) for ffn in SEVERAL] + [(ffn, seed) for seed in (1, 2) for ffn in SEVERAL] + [(ffn, 0) for ffn in ONCE]
# The layers with --distil-only.
FORMS = ["fff:1x11", "signed:1x11", "leaf:7x32", "leaf:5x64", "leaf:4x256", "leaf:3x512", "dense:12", "dense:128", "dense:512"]
FORMS_ONCE = ["signed:2x10", "signed:4x9", "leaf:6x64", "leaf:9x16", "leaf:5x128", "dense:40", "dense:384", "dense:1536", "signed:1x11+64", "signed-leaf:7x32"]
FORMS_RUNS = [(ffn, 0) for ffn in FORMS + FORMS_ONCE] + [(ffn, seed) for seed in (1, 2) for ffn in FORMS] + [(ffn, seed) for seed in (1, 2) for ffn in FORMS_ONCE]
# For each task, the file in its folder and the metric that the table shows.
TASKS = {"sst2": ("SST-2/dev.tsv", "accuracy"), "cola": ("CoLA/dev.tsv", "matthews"), "rte": ("RTE/dev.tsv", "accuracy"), "stsb": ("STS-B/dev.csv", "spearman")}


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher")
    parser.add_argument("--data")
    parser.add_argument("--out", required=True)
    parser.add_argument("--cmm", default="target/release/cmm")
    parser.add_argument("--steps", type=int, default=2500, help="the steps of distillation for each layer")
    parser.add_argument("--gpus", default="0", help="the numbers of GPUs, one for each worker: 0,0,1,1 runs two workers on each of two")
    parser.add_argument("--also", metavar="MODEL_DIR", help="a further model to fine-tune with three seeds")
    parser.add_argument("--only", help="run only these layers, for example fff:1x11,dense:12")
    parser.add_argument("--seeds", default="0,1,2", help="run only these seeds")
    parser.add_argument("--distil-only", action="store_true", help="do not fine-tune, and use another list of layers")
    parser.add_argument("--with", dest="more", default="", metavar="ARGUMENTS", help="further arguments of distill.py")
    parser.add_argument("--table", action="store_true", help="print the results so far as Markdown, and do nothing else")
    options = parser.parse_args()
    if not options.table and not (options.teacher and options.data):
        parser.error("--teacher and --data say what to distil and on what")
    return options


def lines(out):
    path = os.path.join(out, "study.jsonl")
    if not os.path.exists(path):
        return []
    with open(path) as file:
        return [json.loads(line) for line in file]


def card(gpu):
    query = ["nvidia-smi", "--id", str(gpu), "--query-gpu=name,driver_version", "--format=csv,noheader"]
    return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()


def one(options, gpu, ffn, seed):
    """Runs a layer with a seed, from distillation to the last task."""
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": str(gpu)}
    call = lambda *command: subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    script = lambda name, *arguments: call(sys.executable, os.path.join(HERE, name), *arguments)
    glue = lambda model, task, file: json.loads(
        call(options.cmm, "glue", "--task", task, "--data", os.path.join(options.data, file), "--model", model, "--json")
    )["metrics"]
    work = os.path.join(options.out, f"{os.path.basename(ffn.rstrip('/')).replace(':', '-')}-{seed}")
    result = {"ffn": ffn, "seed": seed}
    model = ffn
    if ffn == "original":
        model = options.teacher
    elif ffn != options.also:
        script(
            "distill.py", "--teacher", options.teacher, "--data", options.data, "--out", work, "--ffn", ffn, "--seed", str(seed),
            "--steps", str(options.steps), "--every", "1000000", *options.more.split(),
        )  # fmt: skip
        model = os.path.join(work, "model")
        with open(os.path.join(work, "log.jsonl")) as file:
            last = json.loads(file.readlines()[-1])
        result |= {name: last[name] for name in ("step", "held hidden", "held cosine", "leaves used") if name in last}
    if options.distil_only:
        result |= {f"stsb {split}, untuned": last[f"stsb {split}"] for split in ("dev", "test")}
        return result | {"seconds": last["seconds"], "card": card(gpu)}
    for split in ("dev", "test"):
        result[f"stsb {split}, untuned"] = glue(model, "stsb", f"STS-B/{split}.csv")["spearman"]
    script("finetune.py", "--model", model, "--data", options.data, "--seed", str(seed), "--out", work)
    for task, (file, metric) in TASKS.items():
        result[task] = glue(f"{work}-{task}", task, file)[metric]
    return result


def work_off(options):
    os.makedirs(options.out, exist_ok=True)
    there = {(line["ffn"], line["seed"]) for line in lines(options.out)}
    left, lock, failures = queue.SimpleQueue(), threading.Lock(), []
    seeds = [int(seed) for seed in options.seeds.split(",")]
    for run in (FORMS_RUNS if options.distil_only else RUNS) + [(options.also, seed) for seed in range(3) if options.also]:
        if run not in there and (not options.only or run[0] in options.only.split(",")) and run[1] in seeds:
            left.put(run)

    def worker(gpu):
        while True:
            try:
                ffn, seed = left.get_nowait()
            except queue.Empty:
                return
            try:
                result = one(options, gpu, ffn, seed)
            except subprocess.CalledProcessError as failed:
                reason = (failed.stderr.strip().splitlines() or ["no reason given"])[-1]
                failures.append(f"{ffn}, seed {seed}: {' '.join(map(str, failed.cmd[:3]))}: {reason}")
                continue
            except OSError as failed:
                failures.append(f"{ffn}, seed {seed}: {failed}; is {options.cmm} there (--cmm)?")
                continue
            with lock, open(os.path.join(options.out, "study.jsonl"), "a") as file:
                file.write(json.dumps(result) + "\n")
            print(json.dumps(result), flush=True)

    workers = [threading.Thread(target=worker, args=(gpu,)) for gpu in options.gpus.split(",")]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    if failures:
        raise SystemExit("\n".join(failures))


def spread(values):
    """Returns the median, with the smallest and largest value if there are several."""
    if len(values) < 2:
        return "".join(f"{value:.4f}" for value in values)
    return f"{statistics.median(values):.4f} ({min(values):.4f} to {max(values):.4f})"


def table(out):
    columns = ["held cosine", "held hidden", "leaves used", "stsb dev, untuned", "stsb test, untuned", *TASKS]
    found = {}
    for line in lines(out):
        found.setdefault(line["ffn"], []).append(line)
    print("| layer | seeds | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 2) + "|")
    for ffn, of_one in found.items():
        values = [[line[name] for line in of_one if name in line] for name in columns]
        cells = [spread(of_column) for of_column in values]
        print(f"| {ffn} | {len(of_one)} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    options = parse()
    table(options.out) if options.table else work_off(options)

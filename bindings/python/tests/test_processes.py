"""Tests what a program can do while vectors are computed: threads, signals, processes."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import cmm

TEXTS = [f"{'word ' * (i % 37)}number {i}" for i in range(400)]


def test_other_threads_run_meanwhile(model):
    steps, stop = 0, threading.Event()

    def other():
        nonlocal steps
        while not stop.is_set():
            steps += 1
            time.sleep(0.001)

    thread = threading.Thread(target=other)
    thread.start()
    before = steps
    model.encode(TEXTS)
    during = steps - before
    stop.set()
    thread.join()
    assert during >= 10


def test_threads_share_a_model(model):
    wanted = model.encode(TEXTS)
    results = {}

    def part(place):
        results[place] = model.encode(TEXTS[place::4])

    threads = [threading.Thread(target=part, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for place in range(4):
        assert np.abs(results[place] - wanted[place::4]).max() <= 1e-6


def test_threads_share_a_model_on_every_adapter(model, software):
    texts = ["A flute", "x y z"]
    wanted = model.encode(texts)
    for adapter in cmm.adapters():
        shared, results = cmm.SentenceTransformer(device=adapter.index), []
        threads = [threading.Thread(target=lambda: results.append(shared.encode(texts))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(results) == 3 and max(np.abs(vectors - wanted).max() for vectors in results) <= 1e-6, adapter


def test_threads_of_its_own(model):
    for threads in (1, 3):
        own = cmm.SentenceTransformer(device="cpu", threads=threads)
        assert np.abs(own.encode(TEXTS[:50]) - model.encode(TEXTS[:50])).max() <= 1e-6


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send")
def test_ctrl_c_ends_a_long_encode():
    # Without the signal this would take the better part of an hour.
    # What a shell starts in the background ignores SIGINT, and so do its children.
    program = """
import signal
import cmm
signal.signal(signal.SIGINT, signal.default_int_handler)
model = cmm.SentenceTransformer(device="cpu")
print("ready", flush=True)
try:
    model.encode(["many words " * 40] * 300_000)
except KeyboardInterrupt:
    print(model.encode("still usable").shape, flush=True)
    raise
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            time.sleep(1.0)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert out == "(384,)\n"
    assert "KeyboardInterrupt" in err and process.returncode != 0


def test_an_exception_of_a_progress_bar_ends_the_work(model):
    def progress(done):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        model._model.embed(["many words " * 40] * 20_000, "", 4096, progress)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only systems with fork")
def test_a_forked_process_is_told_to_load_its_own(model):
    program = """
import os
import cmm
model = cmm.SentenceTransformer(device="cpu")
model.encode("x")
child = os.fork()
if child == 0:
    try:
        model.encode("x")
    except cmm.DeviceError as error:
        os._exit(7 if "forked" in str(error) else 8)
    os._exit(9)
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", program], timeout=60).returncode == 7

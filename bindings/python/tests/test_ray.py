"""Tests on a cluster of three nodes on this machine: nothing is lost and nothing is done twice,
whichever process dies. `pytest -m ray` runs them.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from conftest import ROOT

pytestmark = pytest.mark.ray
ray = pytest.importorskip("ray", reason='pip install "ray[data]" to test cmm.ray')
pa = pytest.importorskip("pyarrow", reason='pip install "ray[data]" to test cmm.ray')
pq = pytest.importorskip("pyarrow.parquet", reason='pip install "ray[data]" to test cmm.ray')

SCRIPT = ROOT / "examples" / "many-machines" / "embed.py"
FILES, ROWS = 16, 100
TEXTS = [f"{'some words of a line ' * (3 + i % 11)}number {i}" for i in range(FILES * ROWS)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Writes Parquet files of ids and texts."""
    folder = tmp_path_factory.mktemp("corpus")
    for file in range(FILES):
        rows = range(file * ROWS, (file + 1) * ROWS)
        pq.write_table(pa.table({"id": list(rows), "text": [TEXTS[row] for row in rows]}), folder / f"{file:03}.parquet")
    return folder


@pytest.fixture(scope="module")
def cluster():
    """Starts a head and two nodes, each as a set of processes of its own."""
    from ray.cluster_utils import Cluster

    sizes = {"num_cpus": 3, "num_gpus": 0, "object_store_memory": 200 << 20, "memory": 4 << 30}
    cluster = Cluster(initialize_head=True, head_node_args={**sizes, "include_dashboard": False})
    cluster.add_node(**sizes)
    cluster.add_node(**sizes)
    ray.init(address=cluster.address, log_to_driver=False)
    assert len([node for node in ray.nodes() if node["Alive"]]) == 3
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def run(cluster, corpus, out) -> subprocess.Popen:
    options = ["--checkpoint", str(out / "checkpoint"), "--address", cluster.address, "--actors", "2", "--threads", "1", "--batch-size", "60", "--part-rows", str(ROWS)]
    with open(out / "log", "ab") as log:
        return subprocess.Popen([sys.executable, str(SCRIPT), str(corpus), str(out / "vectors"), *options], stdout=log, stderr=log)


def done(out) -> int:
    """Returns the number of rows in files that are whole."""
    rows = 0
    for file in (out / "vectors").glob("*.parquet"):
        try:
            rows += pq.read_metadata(file).num_rows
        except pa.ArrowInvalid:
            pass  # It is still being written.
    return rows


def embedding_processes() -> list[int]:
    """Returns the processes of the actors that embed, in the nodes that were started here."""
    import psutil

    children = psutil.Process().children(recursive=True)
    return [child.pid for child in children if " ".join(child.cmdline()).startswith("ray::MapWorker(MapBatches(Embed))")]


def wait_for(what, process, out, seconds=300):
    end = time.monotonic() + seconds
    while not what():
        assert process.poll() is None, f"the run ended early:\n{(out / 'log').read_text()[-4000:]}"
        assert time.monotonic() < end, f"waited too long:\n{(out / 'log').read_text()[-4000:]}"
        time.sleep(0.05)


def test_an_actor_and_then_the_whole_run_are_killed(cluster, corpus, tmp_path, model):
    first = run(cluster, corpus, tmp_path)
    try:
        wait_for(lambda: done(tmp_path) >= 2 * ROWS, first, tmp_path)
        actors = embedding_processes()
        assert actors, "no actor to kill"
        os.kill(actors[0], signal.SIGKILL)
        killed_at = done(tmp_path)
        wait_for(lambda: done(tmp_path) >= killed_at + 2 * ROWS, first, tmp_path)
    finally:
        first.kill()
        first.wait()
    stopped_at = done(tmp_path)
    assert 0 < stopped_at < len(TEXTS), "the run was over before it was killed"
    second = run(cluster, corpus, tmp_path)
    try:
        assert second.wait(timeout=400) == 0, (tmp_path / "log").read_text()[-4000:]
    finally:
        second.kill()
    tables = [pq.read_table(file) for file in (tmp_path / "vectors").glob("*.parquet")]
    ids = np.concatenate([table["id"].to_numpy() for table in tables])
    assert sorted(ids) == list(range(len(TEXTS))), "rows are lost or twice there"
    vectors = np.concatenate([np.stack(table["embedding"].to_numpy()) for table in tables])
    texts = [text for table in tables for text in table["text"].to_pylist()]
    assert texts == [TEXTS[row] for row in ids]
    assert vectors.dtype == np.float32 and np.abs(vectors - model.encode(TEXTS)[ids]).max() <= 1e-6


def test_the_card_that_ray_gives(cluster, tmp_path, monkeypatch):
    """There is no card here: a program takes nvidia-smi's place, and Ray counts a GPU without looking."""
    from test_devices import ANSWER

    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{ANSWER}END\n")
    program.chmod(0o755)
    cluster.add_node(num_cpus=1, num_gpus=3, object_store_memory=100 << 20)

    @ray.remote(num_gpus=1, num_cpus=0)
    class Actor:
        def device(self, folder):
            os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
            from cmm.ray import actor_device, actor_threads

            return actor_device(), actor_threads()

    actors = [Actor.remote() for _ in range(3)]
    places = ray.get([actor.device.remote(str(tmp_path)) for actor in actors])
    assert sorted(place for place, _ in places) == ["00000000:1B:00.0", "00000000:43:00.0", "00000000:9D:00.0"]
    assert {threads for _, threads in places} == {max(1, (os.cpu_count() or 1) // 3)}

    @ray.remote(num_cpus=2)
    def on_cpu():
        from cmm.ray import actor_device, actor_threads

        return actor_device(), actor_threads()

    assert ray.get(on_cpu.remote()) == ("cpu", 2)


def test_batches_as_tables_and_as_dicts(cluster, model):
    import cmm
    from cmm.ray import Embed

    embed = Embed(device="cpu", threads=1, vector_column="v", encode_kwargs={"truncate_dim": 8})
    wanted = model.encode(TEXTS[:3], truncate_dim=8)
    table = embed(pa.table({"text": TEXTS[:3], "v": [1, 2, 3]}))
    assert table.column_names == ["text", "v"] and table.schema.field("v").type == pa.list_(pa.float32(), 8)
    assert np.abs(np.array(table["v"].to_pylist()) - wanted).max() <= 1e-6
    assert embed(pa.table({"text": pa.array([], pa.string())})).num_rows == 0
    columns = embed({"text": np.array(TEXTS[:3], object), "id": np.arange(3)})
    assert np.abs(columns["v"] - wanted).max() <= 1e-6
    with pytest.raises(cmm.InputError, match="text_column: expected one of id"):
        embed({"id": np.arange(3)})
    with pytest.raises(cmm.InputTypeError, match=r"sentences\[1\]: expected str, found NoneType"):
        embed(pa.table({"text": ["a", None]}))
    with pytest.raises(cmm.InputTypeError, match="batch: expected an Arrow table"):
        embed([1])
    with pytest.raises(cmm.InputError, match="vector_column"):
        Embed(vector_column="text")

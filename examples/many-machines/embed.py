"""Embeds a corpus of Parquet files on all machines of a Ray cluster, or on this one.

    python embed.py texts/ vectors/ --checkpoint checkpoint/

`texts/` holds Parquet files (or is one) with a column of ids, each of which occurs once, and one of texts. `vectors/` gets Parquet files with these and the vectors, a fixed-size
list of float. On a cluster all three are on storage that every node reaches, such as a network file system or s3://. A run that was cut off and is
started again with the same arguments goes on where it stopped.

    python -m pip install ./bindings/python "ray[data]"   # on every node
"""

import argparse
import os
import time

import ray
from ray.data import ActorPoolStrategy, DataContext
from ray.data.checkpoint import CheckpointConfig

import cmm.ray


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=place, help="a Parquet file, or a folder of them")
    parser.add_argument("vectors", type=place, help="the folder that gets the results")
    parser.add_argument("--checkpoint", type=place, help="the folder that remembers which ids are done; without it a run cannot be gone on with")
    parser.add_argument("--id-column", default="id")
    parser.add_argument("--text-column", default="text")
    parser.add_argument("--model", help="a folder that every node has, or a hub id [default: the model that comes with cmm]")
    parser.add_argument("--address", help="of the cluster [default: RAY_ADDRESS, or else this machine alone]")
    parser.add_argument("--actors", type=int, help="[default: one a GPU; where there are none, as many as the CPUs hold]")
    parser.add_argument("--threads", type=int, default=2, help="of an actor without a GPU")
    parser.add_argument("--batch-size", type=int, default=8192, help="texts that an actor gets at once")
    parser.add_argument("--part-rows", type=int, default=65_536, help="texts that are written and remembered as one: what a crash can cost an actor")
    return parser.parse_args()


def place(path: str) -> str:
    """A path that means the same to every process, or an address such as s3://bucket/folder."""
    return path if "://" in path else os.path.abspath(path)


def start(address: str | None) -> tuple[int, int]:
    """Joins the cluster, or starts one of this machine alone; its GPUs and CPUs."""
    if address or os.environ.get("RAY_ADDRESS"):
        ray.init(address=address)
    else:
        # Reading and writing wait most of the time, and need places beside the actors: Ray counts CPUs, it does not measure them.
        ray.init(num_cpus=(os.cpu_count() or 1) + 3)
    there = ray.cluster_resources()
    return int(there.get("GPU", 0)), int(there.get("CPU", 1))


def main() -> None:
    given = arguments()
    gpus, cpus = start(given.address)
    # Of the CPUs three are for reading, for writing, and for what filters rows that are done.
    actors = given.actors or gpus or max(1, (cpus - 3) // given.threads)
    device = {"num_gpus": 1} if gpus else {"num_cpus": given.threads}
    print(f"{actors} actors, each with {'a GPU' if gpus else f'{given.threads} CPUs'}", flush=True)
    if given.checkpoint:
        # It stays when a run succeeds, so that texts that are added later are the only ones to be embedded.
        DataContext.get_current().checkpoint_config = CheckpointConfig(
            id_column=given.id_column, checkpoint_path=given.checkpoint, delete_checkpoint_on_success=False
        )
    begun = time.monotonic()
    texts = ray.data.read_parquet(given.texts, columns=[given.id_column, given.text_column]).repartition(target_num_rows_per_block=given.part_rows)
    vectors = texts.map_batches(
        cmm.ray.Embed,
        fn_constructor_kwargs={"model": given.model, "text_column": given.text_column},
        compute=ActorPoolStrategy(size=actors),
        batch_size=given.batch_size,
        batch_format="pyarrow",
        **device,
    )
    vectors.write_parquet(given.vectors)
    print(f"done in {time.monotonic() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main()

"""Load on a server of its own on 127.0.0.1: throughput, latencies, errors and memory, beside `cmm embed` on the same texts.

    python serve/bench/load.py target/release/cmm texts.txt --clients 64 --batch 1
    python serve/bench/load.py target/release/cmm texts.txt --rate 200            # open loop: so many requests a second
    python serve/bench/load.py target/release/cmm texts.txt --seconds 600         # soak: memory every 10 s
    python serve/bench/load.py target/release/cmm texts.txt --url http://127.0.0.1:7997/embeddings --process 4711     # another server

Closed loop: each client sends its next request when it has the answer to the last. Open loop: requests begin at fixed times, and their latency
counts from there, so that a server that falls behind cannot hide it. Nothing but Python's standard library. Ends by itself.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("texts", type=Path, help="a text on each line")
    parser.add_argument("--clients", type=int, default=64, help="connections")
    parser.add_argument("--batch", type=int, default=1, help="texts of a request")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rate", type=float, help="requests a second, whatever the answers: open loop")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--model", default=str(ROOT / "models/fastminilm"))
    parser.add_argument("--openai", action="store_true", help="OpenAI's requests, to /v1/embeddings; else TEI's, to /embed")
    parser.add_argument("--url", help="another server's route for OpenAI's requests; it runs already")
    parser.add_argument("--process", type=int, help="its process, whose memory is watched")
    parser.add_argument("--name", default="fastminilm", help="what OpenAI's requests call the model")
    parser.add_argument("--serve", nargs=argparse.REMAINDER, default=[], help="more arguments of cmm serve")
    options = parser.parse_args()
    if options.url:
        place = urlsplit(options.url)
        if place.hostname not in ("127.0.0.1", "localhost") or place.port is None:
            parser.error(f"--url {options.url}: expected a server of this machine, http://127.0.0.1:PORT/ROUTE")
    return options


def start(options: argparse.Namespace) -> tuple[subprocess.Popen, str, int]:
    command = [options.program, "serve", "--port", "0", "--log", "error", "--device", options.device, "--model", options.model]
    server = subprocess.Popen(command + options.serve, stdout=subprocess.PIPE, text=True)
    host, port = server.stdout.readline().strip().removeprefix("http://").rsplit(":", 1)
    return server, host, int(port)


def memory(process: int) -> int:
    """Resident MiB; 0 where the system does not say."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * 4096 >> 20


class Client:
    def __init__(self, host: str, port: int):
        self.place = (host, port)
        self.streams = None

    async def ask(self, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        if self.streams is None:
            self.streams = await asyncio.open_connection(*self.place)
        reader, writer = self.streams
        method = "GET" if body is None else "POST"
        head = f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body or b'')}\r\n\r\n"
        writer.write(head.encode() + (body or b""))
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode().lower().split("\r\n")
        length = next(int(line.split(":")[1]) for line in lines if line.startswith("content-length"))
        return int(lines[0].split()[1]), await reader.readexactly(length)


class Measured:
    def __init__(self):
        self.latencies = []
        self.statuses = Counter()
        self.texts = 0

    def add(self, status: int, texts: int, latency: float):
        self.statuses[status] += 1
        if status == 200:
            self.texts += texts
            self.latencies.append(latency)


async def closed(clients: list[Client], path: str, bodies: list[tuple[bytes, int]], end: float, measured: Measured):
    position = 0

    async def run(client: Client):
        nonlocal position
        while time.monotonic() < end:
            body, texts = bodies[position % len(bodies)]
            position += 1
            begin = time.monotonic()
            status, _ = await client.ask(path, body)
            measured.add(status, texts, time.monotonic() - begin)

    await asyncio.gather(*map(run, clients))


async def opened(clients: list[Client], path: str, bodies: list[tuple[bytes, int]], end: float, rate: float, measured: Measured):
    free: asyncio.Queue[Client] = asyncio.Queue()
    for client in clients:
        free.put_nowait(client)

    async def run(number: int, due: float):
        client = await free.get()
        body, texts = bodies[number % len(bodies)]
        status, _ = await client.ask(path, body)
        measured.add(status, texts, time.monotonic() - due)
        free.put_nowait(client)

    begin, number, running = time.monotonic(), 0, set()
    while (due := begin + number / rate) < end:
        await asyncio.sleep(max(0, due - time.monotonic()))
        task = asyncio.create_task(run(number, due))
        running.add(task)
        task.add_done_callback(running.discard)
        number += 1
    await asyncio.gather(*running)


async def watch(process: int, begin: float):
    while True:
        print(f"{time.monotonic() - begin:6.0f} s  {memory(process)} MiB", flush=True)
        await asyncio.sleep(10)


async def drive(options: argparse.Namespace, host: str, port: int, path: str, process: int) -> None:
    texts = [line for line in options.texts.read_text().splitlines() if line.strip()]
    groups = [texts[at : at + options.batch] for at in range(0, len(texts), options.batch)]

    def body(group: list[str]) -> dict:
        if options.openai or options.url:
            return {"input": group, "model": options.name}
        return {"inputs": group, "truncate": True}

    bodies = [(json.dumps(body(group)).encode(), len(group)) for group in groups]
    clients = [Client(host, port) for _ in range(options.clients)]
    async with asyncio.timeout(60):
        while (await clients[0].ask("/health"))[0] != 200:
            await asyncio.sleep(0.1)
    warm = Measured()
    await closed(clients, path, bodies, time.monotonic() + 2, warm)
    measured, begin = Measured(), time.monotonic()
    watcher = asyncio.create_task(watch(process, begin) if process else asyncio.sleep(0))
    end = begin + options.seconds
    if options.rate:
        await opened(clients, path, bodies, end, options.rate, measured)
    else:
        await closed(clients, path, bodies, end, measured)
    took = time.monotonic() - begin
    watcher.cancel()
    latencies = sorted(measured.latencies)
    at = lambda share: 1e3 * latencies[min(len(latencies) - 1, int(share * len(latencies)))] if latencies else float("nan")
    kind = f"open loop, {options.rate:g} requests/s" if options.rate else "closed loop"
    print(f"{kind}, {options.clients} connections, {options.batch} texts a request, {took:.1f} s")
    print(f"{measured.texts / took:.0f} texts/s, {len(latencies) / took:.0f} requests/s; statuses {dict(measured.statuses)}")
    mean = 1e3 * statistics.fmean(latencies) if latencies else float("nan")
    print(f"ms: mean {mean:.1f}, p50 {at(0.5):.1f}, p95 {at(0.95):.1f}, p99 {at(0.99):.1f}, most {at(1):.1f}")
    if process:
        print(f"{memory(process)} MiB at the end")


def embed(options: argparse.Namespace) -> None:
    """`cmm embed` of the same texts; the time to load the model is that of one text alone."""

    def seconds(source: list[str]) -> float:
        begin = time.monotonic()
        command = [options.program, "embed", "--json", "--device", options.device, "--model", options.model, *source]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return time.monotonic() - begin

    alone = min(seconds(["a"]) for _ in range(3))
    everything = min(seconds(["--in", str(options.texts)]) for _ in range(3))
    count = sum(1 for line in options.texts.read_text().splitlines() if line.strip())
    print(f"cmm embed: {count / (everything - alone):.0f} texts/s ({everything:.2f} s, of which {alone:.2f} s to start)")


def main() -> None:
    options = arguments()
    if options.url:
        place = urlsplit(options.url)
        asyncio.run(drive(options, place.hostname, place.port, place.path, options.process or 0))
        return
    embed(options)
    server, host, port = start(options)
    try:
        asyncio.run(drive(options, host, port, "/v1/embeddings" if options.openai else "/embed", server.pid))
    finally:
        server.terminate()
        print("ended with", server.wait(timeout=90))


if __name__ == "__main__":
    main()

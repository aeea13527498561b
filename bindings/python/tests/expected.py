"""Writes `expected.json`: vectors of the shipped model by the `cmm` command on the CPU, with which
the tests compare the package.

    python expected.py path/to/cmm
"""

import json
import subprocess
import sys
from pathlib import Path

TEXTS = [
    "A man is playing a flute.",
    "Somebody makes music.",
    "",
    "Ünïcödé, 你好, 👩‍💻 and numbers: 1,234.50",
    "long " * 600,
]


def by_command(command: str, texts: list[str], *options: str) -> list[list[float]]:
    """Returns the vectors that the command prints. Each text goes in as a line of JSON."""
    lines = "".join(json.dumps({"t": text}) + "\n" for text in texts)
    arguments = [command, "embed", "--in", "-", "--field", "t", "--json", "--device", "cpu", *options]
    done = subprocess.run(arguments, input=lines, capture_output=True, text=True, check=True)
    return [json.loads(line)["embedding"] for line in done.stdout.splitlines()]


if __name__ == "__main__":
    vectors = by_command(sys.argv[1], TEXTS)
    Path(__file__).with_name("expected.json").write_text(json.dumps({"texts": TEXTS, "vectors": vectors}) + "\n")

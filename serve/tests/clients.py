"""Clients that people have already, against a server as it is: the official openai package, LangChain's class for it, and schemathesis on /openapi.json.

    pip install openai langchain-openai schemathesis
    python serve/tests/clients.py target/debug/cmm

Prints a line for each check and exits with 1 at the first that fails. Takes about a minute.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import langchain_openai
import openai

ROOT = Path(__file__).resolve().parents[2]
KEY = "a-key-of-the-test"
EXAMPLES = 25


def start(program: str, folder: str) -> tuple[subprocess.Popen, str]:
    index = f"{folder}/index"
    model = str(ROOT / "models/fastminilm")
    command = [program, "index", "--device", "cpu", "--model", model, str(ROOT / "CHANGELOG.md"), "--out", index]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    models = [f"--model={name}={ROOT / 'models' / name}" for name in ("fastminilm", "fastminilm-sst2")]
    command = [program, "serve", "--port", "0", "--device", "cpu", "--log", "error", "--index", index, *models]
    environment = {**os.environ, "CMM_API_KEY": KEY}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    address = server.stdout.readline().strip()
    for _ in range(600):
        try:
            urllib.request.urlopen(address + "/health", timeout=5)
            return server, address
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server does not come up")


def near(a: list[float], b: list[float]) -> bool:
    return len(a) == len(b) and all(abs(x - y) < 1e-6 for x, y in zip(a, b))


def embedded(program: str, text: str) -> list[float]:
    command = [program, "embed", "--json", "--device", "cpu", "--model", str(ROOT / "models/fastminilm"), text]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["embedding"]


def openai_client(program: str, address: str) -> None:
    client = openai.OpenAI(base_url=address + "/v1", api_key=KEY, max_retries=0)
    names = [model.id for model in client.models.list()]
    assert names == ["fastminilm", "fastminilm-sst2"], names
    assert client.models.retrieve("fastminilm").id == "fastminilm"
    text = "A man is playing a flute."
    expected = embedded(program, text)
    # The client asks for base64 unless it is told otherwise.
    answer = client.embeddings.create(model="fastminilm", input=[text, "Another."])
    assert near(answer.data[0].embedding, expected) and answer.data[1].index == 1
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == 13, answer.usage
    answer = client.embeddings.create(model="fastminilm", input=text, encoding_format="float")
    assert near(answer.data[0].embedding, expected)
    answer = client.embeddings.create(model="fastminilm", input=text, dimensions=64)
    assert len(answer.data[0].embedding) == 64
    for wrong, error in [
        ({"model": "gpt", "input": text}, openai.NotFoundError),
        ({"model": "fastminilm", "input": ""}, openai.BadRequestError),
        ({"model": "fastminilm", "input": text, "dimensions": 9999}, openai.UnprocessableEntityError),
        ({"model": "fastminilm", "input": "river " * 400}, openai.APIStatusError),
    ]:
        try:
            client.embeddings.create(**wrong)
        except error as told:
            assert told.body["message"] and told.body["type"] == "invalid_request_error", told.body
        else:
            raise SystemExit(f"no error: {wrong}")
    try:
        openai.OpenAI(base_url=address + "/v1", api_key="wrong", max_retries=0).models.list()
    except openai.AuthenticationError as told:
        assert told.body["code"] == "invalid_api_key"
    else:
        raise SystemExit("a wrong key was taken")
    print("openai", openai.__version__, "pass")


def langchain(program: str, address: str) -> None:
    # By default it cuts texts by a tokenizer of OpenAI's own models, which it downloads.
    client = langchain_openai.OpenAIEmbeddings(model="fastminilm", base_url=address + "/v1", api_key=KEY, check_embedding_ctx_length=False)
    text = "A man is playing a flute."
    expected = embedded(program, text)
    documents = client.embed_documents([text, "Another."])
    assert len(documents) == 2 and near(documents[0], expected)
    assert near(client.embed_query(text), expected)
    print("langchain-openai pass")


def schemathesis(address: str) -> None:
    # It is installed beside this Python, whose folder need not be on the path.
    program = str(Path(sys.executable).with_name("schemathesis"))
    command = [
        *(program, "run", address + "/openapi.json", "--url", address, "--header", f"Authorization: Bearer {KEY}"),
        *("--max-examples", str(EXAMPLES), "--seed", "7", "--phases", "examples,coverage,fuzzing", "--request-timeout", "60"),
        # Which prompts, heads and widths there are depends on the model, so that what the schema allows may be refused by name.
        *("--exclude-checks", "positive_data_acceptance", "--no-color"),
    ]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode != 0:
        print(result.stdout)
        raise SystemExit("schemathesis found failures")
    counts = [line.strip() for line in result.stdout.splitlines() if "generated, " in line]
    print("schemathesis pass:", *counts)


def main() -> None:
    program = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        server, address = start(program, folder)
        try:
            openai_client(program, address)
            langchain(program, address)
            schemathesis(address)
        finally:
            server.terminate()
            assert server.wait(timeout=60) == 0, "the server did not end well"


if __name__ == "__main__":
    main()

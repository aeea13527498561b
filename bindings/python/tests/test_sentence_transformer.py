import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cmm
from conftest import ROOT, SHIPPED
from expected import by_command

EXPECTED = json.loads(Path(__file__).with_name("expected.json").read_text())
TEXTS = [f"{'word ' * (i % 37)}number {i}" for i in range(150)]


def test_vectors_are_the_commands(model):
    vectors = model.encode(EXPECTED["texts"])
    assert vectors.shape == (len(EXPECTED["texts"]), 384) and vectors.dtype == np.float32
    assert np.abs(vectors - np.array(EXPECTED["vectors"])).max() <= 1e-6
    # As a control, another text's vector is not near.
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-2


def test_vectors_are_those_of_a_command_that_is_there(model):
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    command = os.environ.get("CMM_COMMAND") or next((str(p) for p in (target / "release/cmm", target / "debug/cmm") if p.is_file()), None)
    if command is None:
        pytest.skip("no cmm command was built: vectors were held against the committed ones only")
    wanted = np.array(by_command(command, TEXTS, "--prompt", "about: "))
    assert np.abs(model.encode(TEXTS, prompt="about: ") - wanted).max() <= 1e-6


def test_one_text_several_and_none(model):
    alone = model.encode("A man is playing a flute.")
    assert alone.shape == (384,) and alone.dtype == np.float32
    several = model.encode(("A man is playing a flute.", "x"))
    assert several.shape == (2, 384)
    assert np.abs(several[0] - alone).max() <= 1e-6
    assert model.encode([]).shape == (0, 384)
    assert model.encode(np.array(["a", "b"])).shape == (2, 384)
    as_list = model.encode(["a", "b"], convert_to_numpy=False)
    assert isinstance(as_list, list) and as_list[1].shape == (384,)


def test_neither_batches_nor_neighbours_change_a_vector(model):
    vectors = model.encode(TEXTS)
    for batch_size in (1, 32):
        assert np.abs(model.encode(TEXTS, batch_size=batch_size) - vectors).max() <= 1e-6
    backwards = model.encode(TEXTS[::-1])
    assert np.abs(backwards[::-1] - vectors).max() <= 1e-6


def test_prompts(prompted, model):
    declared = cmm.SentenceTransformer(prompted, device="cpu")
    assert declared.prompts == {"query": "query: ", "passage": "passage: ", "plain": ""}
    assert declared.default_prompt_name == "plain"
    plain, query, passage = model.encode(["text", "query: text", "passage: text"])

    def same(a, b):
        return np.abs(a - b).max() <= 1e-6

    assert same(declared.encode("text"), plain)
    assert same(declared.encode("text", prompt_name="query"), query)
    assert same(declared.encode("text", prompt="passage: "), passage)
    assert same(declared.encode_query("text"), query)
    assert same(declared.encode_document(["text"])[0], passage)
    assert same(declared.encode_query("text", prompt_name="passage"), passage)
    assert same(declared.encode_document("text", prompt=""), plain)
    given = cmm.SentenceTransformer(device="cpu", prompts={"mine": "query: "}, default_prompt_name="mine")
    assert same(given.encode("text"), query)
    assert same(pickle.loads(pickle.dumps(given)).encode("text"), query)
    # This model has no prompts, so queries are plain texts.
    assert same(model.encode_query("text"), plain)


def test_truncation_comes_before_normalisation(model):
    whole = model.encode(TEXTS[:3])
    cut = model.encode(TEXTS[:3], truncate_dim=100)
    assert cut.shape == (3, 100) and np.array_equal(cut, whole[:, :100])
    unit = model.encode(TEXTS[:3], truncate_dim=100, normalize_embeddings=True)
    assert np.abs(np.linalg.norm(unit, axis=1) - 1).max() <= 1e-6
    assert np.abs(unit - cut / np.linalg.norm(cut, axis=1, keepdims=True)).max() <= 1e-6
    short = cmm.SentenceTransformer(device="cpu", truncate_dim=64)
    assert short.encode("x").shape == (64,) and short.get_sentence_embedding_dimension() == 64
    assert short.encode([]).shape == (0, 64)


def test_similarity(model, prompted):
    a, b = model.encode(TEXTS[:3]), 3 * model.encode(TEXTS[3:7])
    matrix = model.similarity(a, b)
    assert matrix.shape == (3, 4)
    for i in range(3):
        for j in range(4):
            assert abs(matrix[i, j] - a[i] @ b[j] / np.linalg.norm(a[i]) / np.linalg.norm(b[j])) <= 1e-6
    assert np.abs(model.similarity_pairwise(a, b[:3]) - np.diag(matrix)).max() <= 1e-6
    assert model.similarity(a[0], b).shape == (1, 4)
    assert abs(model.similarity(a[0].tolist(), a[0].astype(np.float64))[0, 0] - 1) <= 1e-6
    dot = cmm.SentenceTransformer(prompted, device="cpu")
    assert dot.similarity_fn_name == "dot"
    assert np.abs(dot.similarity(a, b) - a @ b.T).max() <= 1e-6
    far = cmm.SentenceTransformer(device="cpu", similarity_fn_name="euclidean")
    wanted = -np.linalg.norm(a[:, None] - b[None], axis=2)
    assert np.abs(far.similarity(a, b) - wanted).max() <= 1e-5
    assert np.abs(far.similarity_pairwise(a, b[:3]) - np.diag(wanted)).max() <= 1e-5


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        ([[1.0, float("nan")]], [[1.0, 2.0]], r"embeddings1\[0, 1\]: expected a finite number"),
        ([[1.0, 2.0]], [[1.0, 2.0, 3.0]], "embeddings2: expected vectors of 2 values"),
        ([["a", "b"]], [[1.0, 2.0]], "embeddings1: expected an array of real numbers"),
        ([[[1.0]]], [[1.0]], "embeddings1: expected one vector or"),
        ([[1.0], [1.0, 2.0]], [[1.0]], "embeddings1: expected an array of numbers"),
        ([[1e300]], [[1.0]], r"embeddings1\[0, 0\]: expected a finite number of f32"),
    ],
)
def test_bad_vectors_are_refused(model, a, b, said):
    with pytest.raises(cmm.InputError, match=said):
        model.similarity(a, b)


@pytest.mark.parametrize(
    ("sentences", "options", "kind", "said"),
    [
        (None, {}, cmm.InputTypeError, "sentences: expected str or a list of str, found NoneType"),
        (b"bytes", {}, cmm.InputTypeError, "found bytes"),
        ({"a": "b"}, {}, cmm.InputTypeError, "found dict"),
        (7, {}, cmm.InputTypeError, "found int"),
        (["a", None], {}, cmm.InputTypeError, r"sentences\[1\]: expected str, found NoneType"),
        (["a", "b", 1.5], {}, cmm.InputTypeError, r"sentences\[2\]: expected str, found float"),
        ([["a", "b"]], {}, cmm.InputTypeError, r"sentences\[0\]: expected str, found list"),
        (["a", "\ud800"], {}, cmm.InputError, r"sentences\[1\]: expected text that UTF-8 can hold"),
        ("a", {"batch_size": 0}, cmm.InputError, "batch_size: expected at least 1"),
        ("a", {"batch_size": 1.5}, cmm.InputTypeError, "batch_size: expected a whole number"),
        ("a", {"prompt_name": "query"}, cmm.InputError, "prompt_name: expected no name, because this model declares no prompts"),
        ("a", {"prompt": "p", "prompt_name": "query"}, cmm.InputError, "expected none beside prompt='p'"),
        ("a", {"prompt": 1}, cmm.InputTypeError, "prompt: expected str"),
        ("a", {"truncate_dim": 0}, cmm.InputError, "truncate_dim: expected at least 1"),
        ("a", {"truncate_dim": 385}, cmm.InputError, "truncate_dim: expected at most the model's 384"),
        ("a", {"output_value": "token_embeddings"}, cmm.InputError, "output_value: expected 'sentence_embedding'"),
        ("a", {"precision": "int8"}, cmm.InputError, "precision: expected 'float32'"),
        ("a", {"device": "cpu"}, cmm.InputError, "device: this parameter of sentence-transformers is not implemented"),
        ("a", {"pool": object()}, cmm.InputError, "pool: this parameter"),
    ],
)
def test_what_cannot_be_encoded_is_refused(model, sentences, options, kind, said):
    with pytest.raises(kind, match=said) as raised:
        model.encode(sentences, **options)
    assert isinstance(raised.value, (ValueError, cmm.Error))


def test_models_that_cannot_be_loaded(tmp_path):
    with pytest.raises(cmm.ConfigError, match="expected a folder, a hub id"):
        cmm.SentenceTransformer("no such folder")
    with pytest.raises(cmm.InputTypeError, match="model: expected a folder"):
        cmm.SentenceTransformer(7)
    with pytest.raises(cmm.FileError, match="config.json") as raised:
        cmm.SentenceTransformer(tmp_path)
    assert isinstance(raised.value, OSError)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(cmm.Error):
        cmm.SentenceTransformer(tmp_path)
    with pytest.raises(cmm.InputError, match="precision: expected f32 or f16"):
        cmm.SentenceTransformer(precision="f64")
    with pytest.raises(cmm.InputError, match="trust_remote_code: this parameter"):
        cmm.SentenceTransformer(trust_remote_code=True)
    with pytest.raises(cmm.InputError, match="threads: expected at least 1"):
        cmm.SentenceTransformer(threads=0)
    with pytest.raises(cmm.ConfigError, match="similarity_fn_name"):
        cmm.SentenceTransformer(similarity_fn_name="manhattan")
    broken = tmp_path / "broken"
    shutil.copytree(SHIPPED, broken)
    (broken / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(cmm.ConfigError, match="model.safetensors"):
        cmm.SentenceTransformer(broken, device="cpu")


def test_a_hub_id_without_the_hubs_package_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(cmm.ConfigError, match="pip install huggingface-hub"):
        cmm.SentenceTransformer("sentence-transformers/all-MiniLM-L6-v2")


def test_a_hub_id_is_found_in_the_hubs_cache_without_a_network(tmp_path):
    pytest.importorskip("huggingface_hub", reason="pip install huggingface-hub to test models by hub id")
    snapshot = tmp_path / "hub" / "models--some--model" / "snapshots" / "0123456789abcdef0123456789abcdef01234567"
    shutil.copytree(SHIPPED, snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text(snapshot.name)
    program = """
import cmm
print(cmm.SentenceTransformer("some/model", device="cpu").encode("x").shape)
try:
    cmm.SentenceTransformer("some/other")
except cmm.ConfigError as error:
    print("refused", "some/other" in str(error))
"""
    offline = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=offline, capture_output=True, text=True, timeout=120)
    assert done.stdout == "(384,)\nrefused True\n", done.stderr


def test_the_environment_names_a_model(monkeypatch, prompted):
    monkeypatch.setenv("CMM_MODEL", str(prompted))
    assert "query" in cmm.SentenceTransformer(device="cpu").prompts


def test_what_a_model_says_of_itself(model):
    assert model.get_sentence_embedding_dimension() == 384
    assert model.max_seq_length == 256
    assert model.device == "cpu"
    assert "fastminilm" in repr(model) and "device='cpu'" in repr(model)
    tokens = model.tokenize(["a b c", "d"])
    assert tokens["input_ids"].shape == (2, 5)
    assert tokens["attention_mask"].tolist() == [[1] * 5, [1, 1, 1, 0, 0]]
    assert tokens["input_ids"][1].tolist()[3:] == [0, 0] and tokens["input_ids"][0, 0] == 101
    assert model.tokenize("long " * 600)["input_ids"].shape == (1, 256)


def test_a_pickled_model_gives_the_same_vectors(model):
    cut = cmm.SentenceTransformer(device="cpu", truncate_dim=32, threads=1)
    again = pickle.loads(pickle.dumps(cut))
    assert again.truncate_dim == 32 and repr(again) == repr(cut)
    assert np.array_equal(again.encode(TEXTS[:3]), cut.encode(TEXTS[:3]))
    assert len(pickle.dumps(model)) < 2000


def test_a_progress_bar(model, capfd):
    model.encode(TEXTS[:10], show_progress_bar=True)
    out, err = capfd.readouterr()
    assert "10/10" in err and out == ""
    model.encode(TEXTS[:10])
    assert capfd.readouterr() == ("", "")


def test_int8_and_f16_are_near(model):
    vectors = model.encode(TEXTS[:20])
    for options in ({"int8": True}, {"precision": "f16", "device": "cpu"}):
        near = cmm.SentenceTransformer(**options)
        assert near.device == "cpu"
        cosines = model.similarity_pairwise(vectors, near.encode(TEXTS[:20]))
        assert 0.99 < cosines.min() and not np.array_equal(vectors, near.encode(TEXTS[:20]))


def test_an_adapter_gives_the_vectors_of_the_cpu(model, software):
    texts = EXPECTED["texts"][:2]
    on_adapter = cmm.SentenceTransformer(device=software)
    assert on_adapter.device != "cpu" and cmm.adapters()[software].name in on_adapter.device
    assert np.abs(on_adapter.encode(texts) - model.encode(texts)).max() <= 1e-6
    assert np.abs(pickle.loads(pickle.dumps(on_adapter)).encode(texts) - model.encode(texts)).max() <= 1e-6

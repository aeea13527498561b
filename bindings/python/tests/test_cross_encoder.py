import json
import pickle

import numpy as np
import pytest

import cmm
from conftest import CLASSIFIER

PAIRS = [("a film", "wonderful and moving"), ("a film", "a dreadful, dull waste of time"), ("", "fine")]


def test_a_classifier_scores_its_classes():
    classifier = cmm.CrossEncoder(CLASSIFIER, device="cpu")
    assert classifier.num_labels == 2 and len(classifier.labels) == 2
    scores = classifier.predict(PAIRS)
    assert scores.shape == (3, 2) and scores.dtype == np.float32
    assert scores[0, 1] > scores[0, 0] and scores[1, 0] > scores[1, 1]
    shares = classifier.predict(PAIRS, apply_softmax=True)
    assert np.abs(shares.sum(1) - 1).max() <= 1e-6
    assert np.abs(shares - np.exp(scores) / np.exp(scores).sum(1, keepdims=True)).max() <= 1e-6
    assert classifier.predict(PAIRS[0]).shape == (2,)
    assert classifier.predict([]).shape == (0, 2)
    assert np.abs(classifier.predict(PAIRS, batch_size=1) - scores).max() <= 1e-5
    with pytest.raises(cmm.InputError, match="rank: expected a model with one score, found 2"):
        classifier.rank("a", ["b"])


def test_a_reranker_ranks(reranker):
    model = cmm.CrossEncoder(reranker, device="cpu")
    raw = cmm.CrossEncoder(CLASSIFIER, device="cpu").predict(PAIRS)[:, 1]
    scores = model.predict(PAIRS)
    assert scores.shape == (3,)
    assert np.abs(scores - 1 / (1 + np.exp(-raw))).max() <= 1e-5
    assert np.abs(model.predict(PAIRS, activation_fn=lambda x: x) - raw).max() <= 1e-5
    assert np.ndim(model.predict(("a", "b"))) == 0
    texts = [text for _, text in PAIRS]
    ranked = model.rank("a film", texts, return_documents=True)
    assert [found["corpus_id"] for found in ranked] == list(np.argsort(-model.predict([("a film", text) for text in texts])))
    assert ranked[0]["score"] >= ranked[1]["score"] >= ranked[2]["score"]
    assert ranked[0]["text"] == texts[ranked[0]["corpus_id"]]
    assert model.rank("a film", texts, top_k=1) == [{key: ranked[0][key] for key in ("corpus_id", "score")}]
    assert model.rank("a film", []) == []
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict(PAIRS), scores)
    assert "num_labels=1" in repr(model)


def test_a_configuration_names_the_activation(reranker):
    config = json.loads((reranker / "config.json").read_text())
    by_default = cmm.CrossEncoder(reranker, device="cpu").predict(PAIRS)
    config["sentence_transformers"] = {"activation_fn": "torch.nn.modules.linear.Identity"}
    (reranker / "config.json").write_text(json.dumps(config))
    raw = cmm.CrossEncoder(reranker, device="cpu").predict(PAIRS)
    assert np.abs(1 / (1 + np.exp(-raw)) - by_default).max() <= 1e-5
    config["sentence_transformers"] = {"activation_fn": "torch.nn.modules.activation.Tanh"}
    (reranker / "config.json").write_text(json.dumps(config))
    with pytest.raises(cmm.ConfigError, match="expected Sigmoid or Identity"):
        cmm.CrossEncoder(reranker, device="cpu")


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ("text", "sentences: expected a pair"),
        ([("a",)], r"pairs\[0\]: expected two texts, found 1"),
        ([("a", "b"), "c"], r"pairs\[1\]: expected two texts, found str"),
        ([("a", None)], r"pairs\[0\]\[1\]: expected str, found NoneType"),
        (["a", "b", "c"], r"pairs\[0\]: expected two texts, found 3"),
        ([("a", "\ud800")], "UTF-8"),
    ],
)
def test_bad_pairs_are_refused(pairs, said):
    with pytest.raises(cmm.InputError, match=said):
        cmm.CrossEncoder(CLASSIFIER, device="cpu").predict(pairs)


def test_models_without_a_head_are_refused(model):
    with pytest.raises(cmm.ConfigError, match="classification head"):
        cmm.CrossEncoder("fastminilm", device="cpu")
    with pytest.raises(cmm.InputTypeError, match="no reranker comes with this package"):
        cmm.CrossEncoder(None)

"""Tests the adapters with the real packages. Each test is skipped if its package is not installed."""

import asyncio

import numpy as np
import pytest

TEXTS = ["A man is playing a flute.", "Stocks fell sharply on Monday.", "The recipe needs two eggs."]
QUESTION = "Who makes music?"


def near(a, b):
    return np.abs(np.array(a) - np.array(b)).max() <= 1e-6


def test_langchain(model, prompted):
    pytest.importorskip("langchain_core", reason="pip install langchain-core to test cmm.langchain")
    from langchain_core.embeddings import Embeddings
    from langchain_core.vectorstores import InMemoryVectorStore

    from cmm.langchain import CmmEmbeddings

    embeddings = CmmEmbeddings(model)
    assert isinstance(embeddings, Embeddings)
    assert near(embeddings.embed_documents(TEXTS), model.encode(TEXTS)) and embeddings.embed_documents([]) == []
    assert near(asyncio.run(embeddings.aembed_query(QUESTION)), model.encode(QUESTION))
    store = InMemoryVectorStore.from_texts(TEXTS, embeddings)
    assert store.similarity_search(QUESTION, k=1)[0].page_content == TEXTS[0]
    declared = CmmEmbeddings(str(prompted), "cpu", encode_kwargs={"truncate_dim": 10})
    assert near(declared.embed_query("x"), model.encode("query: x")[:10])
    assert near(declared.embed_documents(["x"])[0], model.encode("passage: x")[:10])
    with pytest.raises(ValueError, match="expected a name beside device"):
        CmmEmbeddings(model, "cpu")


def test_llama_index(model, prompted):
    pytest.importorskip("llama_index.core", reason="pip install llama-index-core to test cmm.llama_index")
    from llama_index.core import VectorStoreIndex
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.schema import TextNode

    from cmm.llama_index import CmmEmbedding

    embedding = CmmEmbedding(model)
    assert isinstance(embedding, BaseEmbedding)
    assert near(embedding.get_text_embedding_batch(TEXTS), model.encode(TEXTS))
    assert near(embedding.get_text_embedding(TEXTS[0]), model.encode(TEXTS[0]))
    assert near(asyncio.run(embedding.aget_query_embedding(QUESTION)), model.encode(QUESTION))
    assert near(asyncio.run(embedding.aget_text_embedding_batch(TEXTS)), model.encode(TEXTS))
    index = VectorStoreIndex([TextNode(text=text) for text in TEXTS], embed_model=embedding)
    assert index.as_retriever(similarity_top_k=1).retrieve(QUESTION)[0].text == TEXTS[0]
    declared = CmmEmbedding(str(prompted), "cpu")
    assert near(declared.get_query_embedding("x"), model.encode("query: x"))
    assert near(declared.get_text_embedding("x"), model.encode("passage: x"))


def test_haystack(model, prompted):
    pytest.importorskip("haystack", reason="pip install haystack-ai to test cmm.haystack")
    from haystack import Document, Pipeline
    from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
    from haystack.document_stores.in_memory import InMemoryDocumentStore

    from cmm.haystack import CmmDocumentEmbedder, CmmTextEmbedder

    documents = [Document(content=text, meta={"title": f"No. {place}"}) for place, text in enumerate(TEXTS)]
    embedded = CmmDocumentEmbedder(device="cpu").run(documents)["documents"]
    assert near([document.embedding for document in embedded], model.encode(TEXTS))
    assert documents[0].embedding is None and embedded[0].id == documents[0].id
    titled = CmmDocumentEmbedder(device="cpu", meta_fields_to_embed=["title"]).run(documents[:1])["documents"]
    assert near(titled[0].embedding, model.encode("No. 0\n" + TEXTS[0]))
    store = InMemoryDocumentStore(embedding_similarity_function="cosine")
    store.write_documents(embedded)
    pipeline = Pipeline()
    pipeline.add_component("embedder", CmmTextEmbedder(device="cpu"))
    pipeline.add_component("retriever", InMemoryEmbeddingRetriever(store, top_k=1))
    pipeline.connect("embedder.embedding", "retriever.query_embedding")
    again = Pipeline.loads(pipeline.dumps(), allowed_modules=["cmm.haystack"])
    assert again.get_component("embedder").device == "cpu"
    assert pipeline.run({"embedder": {"text": QUESTION}})["retriever"]["documents"][0].content == TEXTS[0]
    assert near(CmmTextEmbedder(str(prompted), "cpu").run("x")["embedding"], model.encode("query: x"))
    with pytest.raises(TypeError, match="CmmDocumentEmbedder"):
        CmmTextEmbedder(device="cpu").run(documents)
    with pytest.raises(TypeError, match="CmmTextEmbedder"):
        CmmDocumentEmbedder(device="cpu").run("text")

#!/usr/bin/env python3
"""Runs a BERT sentence encoder on the CPU with onnxruntime, as a whole process: read, tokenise,
run, pool, normalise, save.

    pip install onnxruntime onnx numpy tokenizers safetensors
    python3 examples/peers/onnxruntime_cpu.py MODEL_DIR LINES.txt OUT.npy [--threads 2] [--int8]

The graph is written here from the folder's weights. Then onnxruntime's own optimiser for
transformers fuses attention, GELU and LayerNorm, as it does for its users. The result is kept
beside the system's temporary files, so that a second run only loads it. Texts are sorted by length
and run 32 at a time, which was the fastest of 8 to 128. --int8 quantises the weights dynamically,
with onnxruntime's own tool.
"""
import argparse
import hashlib
import json
import pathlib
import tempfile

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

BATCH = 32


def graph(folder: pathlib.Path):
    """Returns the encoder as ONNX, from ids and mask, [texts, tokens], to hidden states."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from safetensors.numpy import load_file

    config = json.loads((folder / "config.json").read_text())
    weights = load_file(folder / "model.safetensors")
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    width = hidden // heads
    nodes, constants = [], []

    def constant(name, value):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(kind, inputs, name, **attributes):
        nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def tensor(name):
        return constant(name, weights[name].astype(np.float32))

    def dense(x, name):
        product = node("MatMul", [x, constant(f"{name}.weight", weights[f"{name}.weight"].T)], f"{name}.product")
        return node("Add", [tensor(f"{name}.bias"), product], f"{name}.out")

    def norm(x, name):
        inputs = [x, tensor(f"{name}.weight"), tensor(f"{name}.bias")]
        return node("LayerNormalization", inputs, f"{name}.out", epsilon=config["layer_norm_eps"], axis=-1)

    zero, one = constant("zero", np.array([0])), constant("one", np.array([1]))
    tokens = node("Gather", [node("Shape", ["ids"], "shape"), constant("axis", np.array(1))], "tokens")
    ends = node("Reshape", [tokens, one], "end")
    positions = node("Slice", [tensor("embeddings.position_embeddings.weight"), zero, ends], "positions")
    words = node("Gather", [tensor("embeddings.word_embeddings.weight"), "ids"], "words")
    kind = constant("type", weights["embeddings.token_type_embeddings.weight"][0])
    x = node("Add", [node("Add", [words, positions], "placed"), kind], "embedded")
    x = norm(x, "embeddings.LayerNorm")
    seen = node("Unsqueeze", [node("Cast", ["mask"], "seen", to=TensorProto.FLOAT), constant("axes", np.array([1, 2]))], "seen4")
    unseen = node("Sub", [constant("ones", np.float32(1)), seen], "unseen")
    masked = node("Mul", [unseen, constant("far", np.float32(-10000))], "masked")
    split = constant("split", np.array([0, 0, heads, width]))
    whole = constant("whole", np.array([0, 0, hidden]))
    for layer in range(config["num_hidden_layers"]):
        part = f"encoder.layer.{layer}"

        def head(which, order):
            rows = node("Reshape", [dense(x, f"{part}.attention.self.{which}"), split], f"{part}.{which}.split")
            return node("Transpose", [rows], f"{part}.{which}.heads", perm=order)

        q, k, v = head("query", [0, 2, 1, 3]), head("key", [0, 2, 3, 1]), head("value", [0, 2, 1, 3])
        scale = constant(f"{part}.scale", np.float32(width**0.5))
        scores = node("Div", [node("MatMul", [q, k], f"{part}.qk"), scale], f"{part}.scaled")
        share = node("Softmax", [node("Add", [scores, masked], f"{part}.scores")], f"{part}.share", axis=-1)
        context = node("Transpose", [node("MatMul", [share, v], f"{part}.sv")], f"{part}.context", perm=[0, 2, 1, 3])
        context = node("Reshape", [context, whole], f"{part}.joined")
        x = norm(node("Add", [dense(context, f"{part}.attention.output.dense"), x], f"{part}.attended"), f"{part}.attention.output.LayerNorm")
        up = dense(x, f"{part}.intermediate.dense")
        erf = node("Erf", [node("Div", [up, constant(f"{part}.root", np.float32(2**0.5))], f"{part}.z")], f"{part}.erf")
        phi = node("Add", [erf, constant(f"{part}.1", np.float32(1))], f"{part}.phi")
        gelu = node("Mul", [node("Mul", [up, phi], f"{part}.zphi"), constant(f"{part}.half", np.float32(0.5))], f"{part}.gelu")
        x = norm(node("Add", [dense(gelu, f"{part}.output.dense"), x], f"{part}.added"), f"{part}.output.LayerNorm")
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["texts", "tokens"]) for name in ("ids", "mask")]
    output = helper.make_tensor_value_info(x, TensorProto.FLOAT, ["texts", "tokens", hidden])
    made = helper.make_graph(nodes, "bert", inputs, [output], constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model, heads, hidden


def optimised(folder: pathlib.Path, int8: bool) -> pathlib.Path:
    """Returns the graph after onnxruntime's optimiser, which runs only once."""
    key = hashlib.sha1((str(folder.resolve()) + str(int8) + ort.__version__).encode()).hexdigest()[:16]
    target = pathlib.Path(tempfile.gettempdir()) / f"onnxruntime-cpu-{key}.onnx"
    if not target.exists():
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic
        from onnxruntime.transformers.optimizer import optimize_model

        model, heads, hidden = graph(folder)
        plain = target.with_suffix(".plain.onnx")
        onnx.save(model, plain)
        fused = optimize_model(str(plain), model_type="bert", num_heads=heads, hidden_size=hidden)
        # The file gets its name only when it is whole: a failed run must not leave anything that
        # the next one takes for the result.
        made = target.with_suffix(".part.onnx")
        fused.save_model_to_file(str(made))
        if int8:
            # The fused operators are onnxruntime's own, and onnx cannot infer their types, so they
            # are declared f32.
            extra = {"DefaultTensorType": onnx.TensorProto.FLOAT}
            quantize_dynamic(str(made), str(made), weight_type=QuantType.QInt8, extra_options=extra)
        plain.unlink()
        made.rename(target)
    return target


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("lines", type=pathlib.Path)
    parser.add_argument("out")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--int8", action="store_true")
    arguments = parser.parse_args()
    options = ort.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    session = ort.InferenceSession(str(optimised(arguments.folder, arguments.int8)), options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(arguments.folder / "tokenizer.json"))
    tokenizer.enable_truncation(256)
    tokenizer.no_padding()
    encoded = [encoding.ids for encoding in tokenizer.encode_batch(arguments.lines.read_text().splitlines())]
    order = sorted(range(len(encoded)), key=lambda index: len(encoded[index]))
    vectors = None
    for first in range(0, len(order), BATCH):
        chosen = order[first : first + BATCH]
        longest = max(len(encoded[index]) for index in chosen)
        ids = np.zeros((len(chosen), longest), np.int64)
        mask = np.zeros((len(chosen), longest), np.int64)
        for row, index in enumerate(chosen):
            ids[row, : len(encoded[index])] = encoded[index]
            mask[row, : len(encoded[index])] = 1
        states = session.run(None, {"ids": ids, "mask": mask})[0]
        pooled = (states * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
        if vectors is None:
            vectors = np.zeros((len(encoded), pooled.shape[1]), np.float32)
        vectors[chosen] = pooled
    np.save(arguments.out, vectors)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Exports a BERT sentence encoder into the folders that transformers.js reads: ONNX in f32 and with
8-bit weights.

    pip install onnxruntime onnx numpy tokenizers safetensors sympy
    python3 examples/peers/browser/prepare.py MODEL_DIR OUT_DIR

The graph is that of ../onnxruntime_cpu.py, after the fusions of onnxruntime's own optimiser for
transformers. q8 is onnxruntime's dynamic quantisation, as in transformers.js' own conversion.
"""
import pathlib
import shutil
import sys

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.optimizer import optimize_model

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from onnxruntime_cpu import graph  # noqa: E402

NAMES = {"ids": "input_ids", "mask": "attention_mask"}


def renamed(model: onnx.ModelProto) -> onnx.ModelProto:
    """Renames inputs and output to the names that transformers.js knows."""
    names = NAMES | {model.graph.output[0].name: "last_hidden_state"}
    for value in [*model.graph.input, *model.graph.output]:
        value.name = names.get(value.name, value.name)
    for node in model.graph.node:
        for names_of in (node.input, node.output):
            names_of[:] = [names.get(name, name) for name in names_of]
    return model


def main() -> None:
    folder, out = map(pathlib.Path, sys.argv[1:3])
    (out / "onnx").mkdir(parents=True, exist_ok=True)
    plain, whole, quantised = out / "plain.onnx", out / "onnx/model.onnx", out / "onnx/model_quantized.onnx"
    made, heads, hidden = graph(folder)
    onnx.save(made, plain)
    # Passes for which the optimiser runs onnxruntime itself are left out: the session in the
    # browser makes those.
    fused = optimize_model(str(plain), model_type="bert", num_heads=heads, hidden_size=hidden, opt_level=0)
    fused.save_model_to_file(str(whole))
    onnx.save(renamed(onnx.load(whole)), whole)
    plain.unlink()
    # The fused operators are onnxruntime's own, and onnx cannot infer their types, so they are
    # declared f32.
    extra = {"DefaultTensorType": onnx.TensorProto.FLOAT}
    quantize_dynamic(str(whole), str(quantised), weight_type=QuantType.QInt8, extra_options=extra)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / name, out / name)


if __name__ == "__main__":
    main()

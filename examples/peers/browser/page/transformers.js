// transformers.js: one model on one device. Texts run 32 at a time, sorted by length, so that little of a batch is padding.

import { env, pipeline } from "/transformers/transformers.min.js";

const BATCH = 32;

export async function open({ model, device, dtype, threads }) {
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = "/onnx/";
  env.useBrowserCache = false;
  env.backends.onnx.wasm.wasmPaths = "/onnxruntime/";
  env.backends.onnx.wasm.numThreads = threads;
  const extract = await pipeline("feature-extraction", model, { device, dtype });
  return async (texts) => {
    const order = texts.map((_, i) => i).sort((a, b) => texts[a].length - texts[b].length);
    const vectors = [];
    for (let at = 0; at < order.length; at += BATCH) {
      const chosen = order.slice(at, at + BATCH);
      const rows = (await extract(chosen.map((i) => texts[i]), { pooling: "mean", normalize: true })).tolist();
      chosen.forEach((index, i) => (vectors[index] = rows[i]));
    }
    return vectors;
  };
}

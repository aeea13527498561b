// cmm-web: one model on one device.

import { FastMiniLM } from "/cmm-web/index.js";

export async function open({ modelUrl, device }) {
  const model = await FastMiniLM.load({ modelUrl, device, cache: false });
  return async (texts) => {
    const { data, dims } = await model.embed(texts);
    return texts.map((_, i) => [...data.subarray(i * dims[1], (i + 1) * dims[1])]);
  };
}

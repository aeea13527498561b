// Tests the package in Firefox, if it is installed and its headless WebGPU runs; it has shader-f16
// there.

import assert from "node:assert/strict";
import { test } from "node:test";
import { firefox, launchFirefox } from "./support/browsers.mjs";
import { nativeVectors, worst } from "./support/native.mjs";
import { openPackage, servePackage } from "./support/package.mjs";
import { sentences } from "./support/sentences.mjs";

test("Firefox computes what the native engine computes, on WebGPU in f32 and in shader-f16, and on the CPU", async (t) => {
  if (!firefox) {
    console.error("SKIPPED: no Firefox on this machine; name one with FIREFOX");
    return t.skip("no Firefox");
  }
  const few = sentences.slice(0, 8);
  const native = nativeVectors("models/fastminilm", few);
  const server = await servePackage();
  const browser = await launchFirefox();
  try {
    const page = await openPackage(browser, server.address);
    const { description, f32, f16, cpu, code } = await page.evaluate(async (texts) => {
      const run = async (options) => {
        const model = await FastMiniLM.load({ modelUrl: "model/", ...options });
        const vectors = rows(await model.embed(texts));
        const { description } = model;
        model.dispose();
        return { description, vectors };
      };
      const f32 = await run({ device: "webgpu" });
      const variant = f32.description.variants.find((name) => name.endsWith("/f16"));
      const f16 = variant ? (await run({ device: "webgpu", variant })).vectors : null;
      const cpu = (await run({ device: "cpu" })).vectors;
      const aborted = AbortSignal.abort();
      const { code } = await told(FastMiniLM.load({ modelUrl: "model/", device: "cpu", signal: aborted }));
      return { description: f32.description, f32: f32.vectors, f16, cpu, code };
    }, few);
    console.log(`${description.adapter}: ${description.features.join(", ")}; ${description.variants.join(", ")}`);
    assert.equal(description.device, "webgpu");
    assert.ok(worst(f32, native) < 1e-4);
    assert.ok(worst(cpu, native) < 1e-4);
    assert.equal(code, "aborted");
    if (f16) assert.ok(worst(f16, native) < 1e-2);
    else console.error("SKIPPED: this Firefox's adapter has no shader-f16");
  } finally {
    await browser.close();
    server.close();
  }
});

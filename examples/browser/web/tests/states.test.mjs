// What the page says where WebGPU is missing or fails.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { dist, failure, launchChromium, open, shot, state } from "./browser.mjs";
import { serve } from "./server.mjs";

let server;
before(async () => (server = await serve(dist)));
after(() => server.close());

/** The page in a browser of its own, its worker begun with this code. */
async function shown(then, { webgpu = true, host = "127.0.0.1", before = "" } = {}) {
  if (before) {
    server.faults.set("/worker.js", (response, file) => {
      response.writeHead(200, { "content-type": "text/javascript" }).end(`${before}\n${readFileSync(file)}`);
    });
  }
  const browser = await launchChromium({ webgpu });
  try {
    const page = await open(browser, server.address.replace("127.0.0.1", host));
    await then(page);
  } finally {
    server.faults.clear();
    await browser.close();
  }
}

test("no WebGPU at all", () =>
  // A page that is not from a secure origin gets none.
  shown(
    async (page) => {
      const { title } = await failure(page);
      assert.match(title, /no WebGPU/);
      assert.ok(await page.$eval("#failure-action", (button) => button.hidden), "nothing that a button could mend");
      await shot(page, "failure-no-webgpu");
    },
    { host: "demo.test" },
  ));

test("WebGPU without an adapter", () =>
  shown(
    async (page) => {
      const { title } = await failure(page);
      assert.match(title, /found no GPU/);
      await page.click("#failure-action");
      await page.waitForSelector("#failure:not([hidden])");
      await shot(page, "failure-no-adapter");
    },
    { webgpu: false },
  ));

test("a GPU that lacks what the engine needs, until one has it", () =>
  shown(
    async (page) => {
      const { title, words } = await failure(page);
      assert.match(title, /lacks something/);
      assert.match(words, /max_storage_buffers_per_shader_stage/);
      server.faults.clear();
      await page.click("#failure-action");
      await state(page, "seeded");
    },
    { before: "Object.defineProperty(GPUSupportedLimits.prototype, 'maxStorageBuffersPerShaderStage', { get: () => 2 });" },
  ));

test("a GPU without enough memory", () =>
  shown(
    async (page) => {
      const { title, words } = await failure(page);
      assert.match(title, /too little memory/);
      assert.match(words, /out of device memory/);
      server.faults.clear();
      await page.click("#failure-action");
      await state(page, "seeded");
    },
    { before: "GPUDevice.prototype.popErrorScope = async () => new GPUOutOfMemoryError('no room');" },
  ));

test("an engine that breaks", () =>
  shown(
    async (page) => {
      const { title } = await failure(page);
      assert.match(title, /engine stopped/);
      server.faults.clear();
      await page.click("#failure-action");
      await state(page, "seeded");
    },
    { before: "WebAssembly.instantiateStreaming = WebAssembly.instantiate = async () => { throw new Error('broken'); };" },
  ));

test("a cached file that has rotted is fetched again", () =>
  shown(async (page) => {
    await state(page, "seeded");
    await page.evaluate(async () => {
      const { files } = await (await fetch("model/manifest.json")).json();
      const cache = await caches.open("cmm-model");
      for (const { path, sha256 } of files) {
        await cache.put(`${new URL("model/", location)}${path}?${sha256.slice(0, 16)}`, new Response("rotten"));
      }
    });
    server.asked.length = 0;
    await page.reload();
    // All files are in the cache, so that the page takes the model without being asked.
    await state(page, "ready");
    assert.ok(server.asked.includes("/model/model.safetensors.gz"));
  }));

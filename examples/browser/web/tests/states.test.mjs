// What the page does where WebGPU is missing or fails.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { ask, assertToScale, BESIDE, click, dist, failure, jsonLines, launchChromium, onModel, open, said, sentences, serve, shot, state, text, until, vectors, view } from "./browser.mjs";

let server;
before(async () => (server = await serve(dist)));
after(() => server.close());

/** The page in a browser of its own, its worker begun with this code. */
async function shown(then, { webgpu = true, host = "127.0.0.1", before = "", device = "webgpu" } = {}) {
  if (before) {
    server.faults.set("/worker.js", (response, file) => {
      response.writeHead(200, { "content-type": "text/javascript" }).end(`${before}\n${readFileSync(file)}`);
    });
  }
  const browser = await launchChromium({ webgpu });
  try {
    const page = await open(browser, server.address.replace("127.0.0.1", host), { device });
    await then(page);
  } finally {
    server.faults.clear();
    await browser.close();
  }
}

test("no WebGPU at all: the page runs on the CPU, with the native engine's vectors and paths", () =>
  // A page that is not from a secure origin gets none; neither a cache nor the browser's own checksums.
  shown(
    async (page) => {
      await state(page, "seeded");
      assert.match(await text(page, "#why-cpu"), /no WebGPU/);
      assert.ok(await page.$eval("#kept", (words) => words.hidden), "a model that no cache keeps is not said to be kept");
      // What choosing saves is measured without being asked for.
      const sentence = `Choosing 12 ${BESIDE} computing all 4,095, and ${BESIDE} computing 12 fixed ones\\.`;
      await said(page, "#here", new RegExp(`^One layer, 16 tokens, measured just now on this CPU\\. ${sentence} Fixed: a layer that has only 12 neurons`));
      assert.deepEqual(await assertToScale(page, "#here-bars"), ["12 chosen of 4,095", "12 fixed neurons", "all 4,095"]);
      await view(page, "path");
      await said(page, "#engaged-count", /computed 12 neurons; the other 4,083/);
      await view(page, "ask");
      await click(page, "#load");
      await state(page, "ready");
      await ask(page, "is torture allowed");
      await said(page, "#ask-cost", /on this CPU/);
      console.log(await text(page, "#corpus-size"));
      await shot(page, "ask-cpu");

      const here = await vectors(page, sentences);
      const there = jsonLines(onModel("embed", "--device", "cpu", "--json", ...sentences));
      sentences.forEach((sentence, i) => {
        const worst = Math.max(...here[i].map((value, at) => Math.abs(value - there[i].embedding[at])));
        assert.ok(worst < 1e-5, `${sentence}: ${worst}`);
      });

      await view(page, "path");
      await page.$eval("#path-text", (input) => ((input.value = "The owl hunts"), input.dispatchEvent(new Event("input"))));
      await said(page, "#path-what", /FastMiniLM's own tree.*the f64 reference takes the same/);

      await view(page, "race");
      await click(page, "#race-go");
      await said(page, "#race-verdict", /^For 16 tokens, .* 12 fixed ones, .* MiniLM's own 1,536, and .* all 4,095\.$/);
      await said(page, "#race-checked", /^All lanes agree/);
      await view(page, "benchmark");
      await click(page, "#bench-run");
      await said(page, "#bench-state", /All 6 rows agree with the f64 reference/);
      await click(page, "footer summary");
      assert.match(await text(page, "#adapter"), /the processor/);
      assert.ok(!(await page.$eval("#compile", (button) => button.checkVisibility())), "there are no shaders to compile");
      assert.ok(await page.$eval("#failure", (box) => box.hidden));
      assert.deepEqual(page.errors, []);
    },
    { host: "demo.test", device: "auto" },
  ));

test("a GPU in software is left to those who ask for it", () =>
  shown(
    async (page) => {
      await state(page, "seeded");
      assert.match(await text(page, "#why-cpu"), /emulates a GPU in software/);
      await Promise.all([page.waitForNavigation(), click(page, "#other-device")]);
      await state(page, "seeded");
      assert.match(await text(page, "#why-cpu"), /a GPU emulated in software/);
      await Promise.all([page.waitForNavigation(), click(page, "#other-device")]);
      await state(page, "seeded");
      assert.match(await text(page, "#why-cpu"), /emulates a GPU in software/);
    },
    { device: "auto" },
  ));

test("WebGPU without an adapter", () =>
  shown(
    async (page) => {
      const { title } = await failure(page);
      assert.match(title, /found no GPU/);
      await shot(page, "failure-no-adapter");
      await click(page, "#failure-action");
      await state(page, "seeded");
      assert.match(await text(page, "#why-cpu"), /as was asked for/);
      await page.goto(server.address);
      await state(page, "seeded");
      assert.match(await text(page, "#why-cpu"), /found no GPU/);
    },
    { webgpu: false },
  ));

test("a GPU that lacks what the engine needs, until the CPU is taken", () =>
  shown(
    async (page) => {
      const { title, words } = await failure(page);
      assert.match(title, /lacks something/);
      assert.match(words, /max_storage_buffers_per_shader_stage/);
      await click(page, "#failure-action");
      await state(page, "seeded");
      assert.match(await text(page, "#why-cpu"), /runs on the processor/);
    },
    { before: "Object.defineProperty(GPUSupportedLimits.prototype, 'maxStorageBuffersPerShaderStage', { get: () => 2 });" },
  ));

test("a GPU without enough memory", () =>
  shown(
    async (page) => {
      // Nothing is put on the GPU before a view needs it.
      await state(page, "seeded");
      await view(page, "path");
      const { title, words } = await failure(page);
      assert.match(title, /too little memory/);
      assert.match(words, /out of device memory/);
      server.faults.clear();
      await click(page, "#failure-action");
      await said(page, "#engaged-count", /computed 12 neurons/);
    },
    { before: "GPUDevice.prototype.popErrorScope = async () => new GPUOutOfMemoryError('no room');" },
  ));

test("an engine that breaks", () =>
  shown(
    async (page) => {
      const { title } = await failure(page);
      assert.match(title, /engine stopped/);
      server.faults.clear();
      await click(page, "#failure-action");
      await state(page, "seeded");
    },
    { before: "WebAssembly.instantiateStreaming = WebAssembly.instantiate = async () => { throw new Error('broken'); };" },
  ));

test("a cached file that has rotted is fetched again", () =>
  shown(async (page) => {
    // Before the button is there, the page's worker opens the cache itself.
    await until(page, () => document.body.dataset.state === "seeded" && !document.getElementById("load").hidden);
    await page.evaluate(async () => {
      const { files } = await (await fetch("model/manifest.json")).json();
      const cache = await caches.open("cmm-web");
      for (const { sha256 } of files) {
        await cache.put(`/cmm-web/${sha256}`, new Response("rotten"));
      }
    });
    server.asked.length = 0;
    await page.reload();
    // All files are in the cache, so that the page takes the model without being asked.
    await state(page, "ready");
    assert.ok(server.asked.includes("/model/model.safetensors.gz"));
  }));

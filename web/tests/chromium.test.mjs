// Tests the package in Chromium. Run them with `npm test` after ./build.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { launchChromium } from "./support/browsers.mjs";
import { cmm, jsonLines, nativeVectors, worst } from "./support/native.mjs";
import { here, openPackage, servePackage } from "./support/package.mjs";
import { sentences } from "./support/sentences.mjs";

const WEIGHTS = "/model/model.safetensors.gz";
const manifest = JSON.parse(readFileSync(join(here, "model/manifest.json"), "utf8"));
const pin = createHash("sha256").update(readFileSync(join(here, "model/manifest.json"))).digest("hex");

let server;
let browser;
let native;
/** A page with a model on the CPU, which many tests use in turn. */
let page;

before(async () => {
  server = await servePackage();
  browser = await launchChromium();
  native = nativeVectors("models/fastminilm", sentences);
});

after(async () => {
  await browser?.close();
  server?.close();
});

const gone = (address) => server.asked.filter((path) => path === address).length;

test("the wire carries at most 1 MB of WebAssembly and 36 MB of model", () => {
  const wasm = gzipSync(readFileSync(join(here, "dist/pkg/cmm_web_bg.wasm")), { level: 9 }).length;
  const model = manifest.files.reduce((bytes, file) => bytes + file.wire, 0);
  console.log(`WebAssembly ${wasm} bytes gzipped, model ${model} bytes`);
  assert.ok(wasm <= 1e6, `${wasm}`);
  assert.ok(model <= 36e6, `${model}`);
});

test("on the CPU, vectors are the native engine's, with progress on the way", async () => {
  page = await openPackage(browser, server.address);
  const { stages, description, dims, vectors, kept } = await page.evaluate(async (texts) => {
    const seen = [];
    globalThis.model = await FastMiniLM.load({ modelUrl: "model", device: "cpu", onProgress: (now) => seen.push(now) });
    const embeddings = await model.embed(texts);
    const last = seen.filter(({ stage }) => stage === "download").at(-1);
    const kept = (await (await caches.open("cmm-web")).keys()).length;
    return {
      stages: [...new Set(seen.map(({ stage }) => stage)), last.loaded === last.total],
      description: model.description,
      dims: embeddings.data instanceof Float32Array && embeddings.dims,
      vectors: rows(embeddings),
      kept,
    };
  }, sentences);
  assert.deepEqual(stages, ["download", "check", "upload", true]);
  assert.equal(description.device, "cpu");
  assert.equal(description.because, "asked");
  assert.deepEqual(dims, [sentences.length, 384]);
  assert.equal(kept, manifest.files.length);
  const difference = worst(vectors, native);
  console.log(`largest difference to the native engine on the CPU: ${difference}`);
  assert.ok(difference < 1e-4);
});

test("similarity and search answer as the native command does", async () => {
  const lines = sentences.filter((text) => text.trim() !== "" && !text.startsWith("word"));
  const query = "a musician with an instrument";
  const { hits, again, alike } = await page.evaluate(async (query, lines) => {
    const documents = await model.embed(lines, { kind: "document" });
    return {
      hits: await model.search(query, lines, { top: 3 }),
      again: await model.search(query, documents, { top: 3 }),
      alike: await model.similarity(query, lines[0]),
    };
  }, query, lines);
  assert.deepEqual(again, hits);
  const best = cmm("similarity", "--device", "cpu", "--json", "--model", "models/fastminilm", query, lines[0]);
  assert.ok(Math.abs(alike - jsonLines(best)[0].similarity) < 1e-4, best);
  assert.equal(hits.length, 3);
  assert.equal(lines[hits[0].index], "A man is playing a flute.");
  assert.ok(Math.abs(hits[0].score - alike) < 1e-6);
});

test("calls that come at once are answered in turn, each with its own", async () => {
  const { order, vectors, none } = await page.evaluate(async (texts) => {
    const order = [];
    const calls = texts.map((text, i) => model.embed([text]).then((one) => (order.push(i), rows(one)[0])));
    return { vectors: await Promise.all(calls), order, none: await model.embed([]) };
  }, sentences);
  assert.deepEqual(order, sentences.map((_, i) => i));
  assert.ok(worst(vectors, native) < 1e-4);
  assert.deepEqual(none.dims, [0, 384]);
});

test("what is engaged is told on demand", async () => {
  const nodes = await page.evaluate(async () => {
    const { nodes } = await model.embed(["The owl hunts", "It sleeps."], { nodes: true });
    return { tokens: [...nodes.tokens], layers: nodes.layers.map((layer) => [...layer]) };
  });
  const inspected = JSON.parse(cmm("inspect", "--device", "cpu", "--text", "The owl hunts", "--json", "--model", "models/fastminilm"));
  assert.equal(nodes.tokens.length, 2);
  assert.equal(nodes.layers.length, inspected.layers.length);
  const levels = nodes.layers[0].length / (nodes.tokens[0] + nodes.tokens[1]);
  inspected.layers.forEach(({ tokens }, layer) => {
    const native = tokens.flatMap(([, trees]) => trees.flat());
    assert.deepEqual(nodes.layers[layer].slice(0, nodes.tokens[0] * levels), native);
  });
});

test("bad input is refused in words, and nothing else breaks", async () => {
  const told = await page.evaluate(async () => {
    const model = globalThis.model;
    return [
      await told(model.embed("no array")),
      await told(model.embed([1])),
      await told(model.embed(["a"], { kind: "poem" })),
      await told(model.search("a", ["b"], { top: -1 })),
      await told(FastMiniLM.load({})),
      await told(FastMiniLM.load({ modelUrl: "model/", device: "tpu" })),
      await told(FastMiniLM.load({ modelUrl: "model/", manifestSha256: "abc" })),
      await told(FastMiniLM.load({ modelUrl: "model/", device: "cpu", precision: "f8" })),
    ];
  });
  for (const { name, code, message } of told) {
    assert.equal(name, "CmmError");
    assert.equal(code, "input", message);
    assert.ok(message.length > 10);
  }
  assert.equal(await page.evaluate(async () => (await model.embed(["a"])).dims[0]), 1);
});

test("an aborted call ends at once, and the next one works", async () => {
  const { first, running, queued, load, seconds } = await page.evaluate(async (texts) => {
    const many = Array.from({ length: 400 }, (_, i) => texts[i % texts.length]);
    const abort = new AbortController();
    let begun;
    const progress = new Promise((resolve) => (begun = resolve));
    const running = told(model.embed(many, { signal: abort.signal, onProgress: begun }));
    const queued = told(model.embed(["waits"], { signal: abort.signal }));
    const next = model.embed(["next"]);
    await progress;
    const start = performance.now();
    abort.abort();
    const first = await told(model.embed(["late"], { signal: abort.signal }));
    const ends = [await running, await queued];
    await next;
    const seconds = (performance.now() - start) / 1e3;
    const loading = new AbortController();
    const onProgress = ({ stage }) => stage === "download" && loading.abort();
    const load = await told(FastMiniLM.load({ modelUrl: "model/", device: "cpu", cache: false, signal: loading.signal, onProgress }));
    return { first, running: ends[0], queued: ends[1], load, seconds };
  }, sentences);
  for (const { code } of [first, running, queued, load]) assert.equal(code, "aborted");
  console.log(`the next call was answered ${seconds.toFixed(2)} s after the abort`);
});

test("files that do not arrive, or are not what the manifest says, are never run", async () => {
  const load = (options = {}) => page.evaluate((options) => told(FastMiniLM.load({ modelUrl: "model/", device: "cpu", cache: false, ...options })), options);
  const cases = [];
  const fault = async (path, answer, code, pattern, options) => {
    server.faults.set(path, answer);
    const told = await load(options);
    server.faults.clear();
    cases.push(told.message);
    assert.equal(told.code, code, told.message);
    assert.match(told.message, pattern);
  };
  await fault(WEIGHTS, (response) => response.writeHead(404).end(), "download", /model\.safetensors: the server answered 404/);
  await fault(WEIGHTS, (response, file) => {
    const content = readFileSync(file);
    response.writeHead(200, { "content-length": content.length });
    response.write(content.subarray(0, content.length / 2), () => response.destroy());
  }, "download", /model\.safetensors: the connection broke after \d+ bytes/);
  await fault(WEIGHTS, (response, file) => {
    const content = readFileSync(file);
    content[content.length >> 1] ^= 0x10;
    response.writeHead(200).end(content);
  }, "integrity", /model\.safetensors/);
  await fault("/model/config.json.gz", (response) => response.writeHead(200).end(Buffer.alloc(1 << 16, 32)), "integrity", /config\.json is longer than/);
  // This file unpacks to more than it may.
  await fault("/model/config.json.gz", (response) => response.writeHead(200).end(gzipSync(Buffer.alloc(1 << 20))), "integrity", /config\.json is longer than/);
  await fault("/model/manifest.json", (response) => response.writeHead(200).end("<html>"), "integrity", /manifest\.json: it is not JSON/);
  const changed = (change) => (response) => {
    const other = structuredClone(manifest);
    change(other);
    response.writeHead(200).end(JSON.stringify(other));
  };
  for (const path of ["../secret", "https://elsewhere.example/x", "/x", "a//b", "a\\b", ""]) {
    await fault("/model/manifest.json", changed(({ files }) => (files[0].path = path)), "integrity", /not a path below the model/);
  }
  await fault("/model/manifest.json", changed(({ files }) => (files[0].bytes = -1)), "integrity", /no lengths/);
  await fault("/model/manifest.json", changed(({ files }) => (files[0].bytes = 2 ** 40)), "integrity", /is the most/);
  await fault("/model/manifest.json", changed((all) => all.files.pop()), "integrity", /SHA-256/, { manifestSha256: pin });
  await fault("/model/manifest.json", changed(({ files }) => files.splice(files.findIndex(({ file }) => file === "model.safetensors"), 1)), "model", /model\.safetensors/);
});

test("a second load asks the server for nothing that is kept, and with a pinned manifest for nothing at all", async () => {
  server.asked.length = 0;
  await page.evaluate(async () => (await FastMiniLM.load({ modelUrl: "model/", device: "cpu" })).dispose());
  assert.equal(gone("/model/manifest.json"), 1);
  assert.equal(server.asked.filter((path) => path.endsWith(".gz")).length, 0);
  const pinned = () => page.evaluate(async (pin) => (await FastMiniLM.load({ modelUrl: "model/", device: "cpu", manifestSha256: pin })).dispose(), pin);
  await pinned();
  server.asked.length = 0;
  await pinned();
  assert.deepEqual(server.asked.filter((path) => path.startsWith("/model/")), []);
});

test("a model that was disposed of says so to those who wait and to those who come", async () => {
  const codes = await page.evaluate(async (texts) => {
    const waiting = [told(model.embed(texts)), told(model.embed(["a"]))];
    await new Promise((resolve) => setTimeout(resolve, 50));
    model.dispose();
    model.dispose();
    return [...(await Promise.all(waiting)), await told(model.embed(["a"])), await told(model.recover())].map(({ code }) => code);
  }, sentences);
  assert.deepEqual(codes, Array(4).fill("disposed"));
});

test("on WebGPU, vectors are the native engine's; a lost device is said so, and taken again", async () => {
  const few = sentences.slice(0, 8);
  const { description, vectors, lost, codes, after } = await page.evaluate(async (texts) => {
    let onLost;
    const lost = new Promise((resolve) => (onLost = resolve));
    const model = await FastMiniLM.load({ modelUrl: "model/", device: "webgpu", onLost });
    const vectors = rows(await model.embed(texts));
    // A driver that restarts does this.
    const engine = await model.engine;
    await engine.lose();
    const why = await lost;
    const codes = [await told(model.embed(["a"])), await told(model.embed(["b"]))].map(({ code }) => code);
    const recovered = model.recover();
    const waits = model.embed(texts.slice(0, 2));
    await recovered;
    const after = rows(await waits);
    model.dispose();
    return { description: model.description, vectors, lost: why, codes, after };
  }, few);
  assert.equal(description.device, "webgpu");
  assert.equal(description.because, null);
  assert.match(description.adapter, /SwiftShader/i);
  assert.equal(typeof lost, "string");
  const difference = worst(vectors, native.slice(0, 8));
  console.log(`largest difference of WebGPU to the native engine: ${difference}`);
  assert.ok(difference < 1e-4);
  assert.deepEqual(codes, ["device-lost", "device-lost"]);
  assert.ok(worst(after, native.slice(0, 2)) < 1e-4);
});

test("a GPU without room, and a worker that breaks, are told apart", async () => {
  const codes = await page.evaluate(async () => {
    // Modules run in the order in which they are imported.
    const module = (text) => URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    const own = JSON.stringify(new URL("package/worker/browser-worker.js", location.href).href);
    const begun = (code) => () => new Worker(module(`import ${JSON.stringify(module(code))}; import ${own};`), { type: "module" });
    const full = begun("GPUDevice.prototype.popErrorScope = async () => new GPUOutOfMemoryError('no room');");
    const few = begun("Object.defineProperty(GPUSupportedLimits.prototype, 'maxStorageBuffersPerShaderStage', { get: () => 2 });");
    const broken = begun("WebAssembly.instantiateStreaming = WebAssembly.instantiate = async () => { throw new Error('broken'); };");
    const none = () => new Worker("no-such-file.js", { type: "module" });
    const load = (worker, device) => told(FastMiniLM.load({ modelUrl: "model/", device, worker }));
    return [await load(full, "webgpu"), await load(few, "webgpu"), await load(broken, "cpu"), await load(none, "cpu")].map(({ code }) => code);
  });
  assert.deepEqual(codes, ["out-of-memory", "unsupported", "crashed", "crashed"]);
});

test("the package may come from another server than the page, as from a CDN", async () => {
  const cdn = await servePackage({ cors: true });
  try {
    const other = await openPackage(browser, server.address, `${cdn.address}package/index.js`);
    const vectors = await other.evaluate(async () => {
      const model = await FastMiniLM.load({ modelUrl: "/model/", device: "cpu" });
      return rows(await model.embed(["A man is playing a flute."]));
    });
    assert.ok(worst(vectors, native.slice(0, 1)) < 1e-4);
    assert.ok(cdn.asked.includes("/package/pkg/cmm_web_bg.wasm"));
    await other.close();
  } finally {
    cdn.close();
  }
});

test("without an adapter, and without WebGPU, `webgpu` is refused and `auto` takes the CPU", async () => {
  const plain = await launchChromium({ webgpu: false });
  try {
    // A page that is not from a secure origin has no WebGPU, no cache, and none of the browser's
    // checksums.
    for (const [host, code] of [["127.0.0.1", "no-adapter"], ["demo.test", "no-webgpu"]]) {
      const other = await openPackage(plain, server.address.replace("127.0.0.1", host));
      const { refused, because, vectors } = await other.evaluate(async () => {
        const refused = await told(FastMiniLM.load({ modelUrl: "model/", device: "webgpu" }));
        const model = await FastMiniLM.load({ modelUrl: "model/" });
        return { refused, because: model.description.because, vectors: rows(await model.embed(["A man is playing a flute."])) };
      });
      assert.equal(refused.code, code);
      assert.equal(because, code);
      assert.ok(worst(vectors, native.slice(0, 1)) < 1e-4);
    }
  } finally {
    await plain.close();
  }
});

// Tests the package in Node.js: on the CPU, and on Dawn with SwiftShader.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { CmmError, cosine, Engine, FastMiniLM, vector } from "cmm-web";
import { nativeVectors, worst } from "./support/native.mjs";
import { here, servePackage } from "./support/package.mjs";
import { sentences } from "./support/sentences.mjs";

const SWIFTSHADER = "/usr/lib/chromium/vk_swiftshader_icd.json";
const modelUrl = join(here, "model");
const run = promisify(execFile);
const rows = (embeddings) => Array.from({ length: embeddings.dims[0] }, (_, i) => [...vector(embeddings, i)]);
const fails = (code, pattern = /./) => (error) =>
  error instanceof CmmError && error.code === code && pattern.test(error.message) || assert.fail(`${error.code}: ${error.message}`);

let folder;
let native;
let model;
before(async () => {
  // Dawn refuses Debian's lavapipe.
  if (existsSync(SWIFTSHADER)) process.env.VK_ICD_FILENAMES = SWIFTSHADER;
  folder = mkdtempSync(join(tmpdir(), "cmm-web-"));
  native = nativeVectors("models/fastminilm", sentences);
});
after(() => {
  model?.dispose();
  rmSync(folder, { recursive: true, force: true });
});

test("on the CPU, from a folder, vectors are the native engine's, and the program's thread stays free", async () => {
  model = await FastMiniLM.load({ modelUrl, device: "cpu" });
  let turns = 0;
  const timer = setInterval(() => turns++, 5);
  const embeddings = await model.embed(sentences);
  clearInterval(timer);
  assert.ok(turns > 3, `${turns}`);
  const difference = worst(rows(embeddings), native);
  console.log(`largest difference to the native engine: ${difference}`);
  assert.ok(difference < 1e-4);
  assert.ok(Math.abs((await model.similarity(sentences[0], sentences[1])) - cosine(native[0], native[1])) < 1e-4);
  assert.equal((await model.search("playing music", sentences, { top: 1 }))[0].index, 0);
});

test("calls queue, abort and fail as they do in a browser", async () => {
  const all = await Promise.all(sentences.map((text) => model.embed([text])));
  assert.ok(worst(all.map((one) => rows(one)[0]), native) < 1e-4);
  const abort = new AbortController();
  const many = Array.from({ length: 200 }, (_, i) => sentences[i % 4]);
  const running = model.embed(many, { signal: abort.signal, onProgress: () => abort.abort("enough") });
  await assert.rejects(running, fails("aborted"));
  await assert.rejects(model.embed([1]), fails("input"));
  await assert.rejects(FastMiniLM.load({ modelUrl: join(folder, "nowhere") }), fails("input", /nowhere/));
  await assert.rejects(FastMiniLM.load({ modelUrl: folder, device: "cpu" }), fails("download", /manifest\.json/));
  assert.equal((await model.embed(["after all that"])).dims[0], 1);
});

test("from a server, files are kept in a folder, and checked when they come from there", async () => {
  const server = await servePackage();
  const cache = join(folder, "cache");
  const manifestSha256 = createHash("sha256").update(readFileSync(join(modelUrl, "manifest.json"))).digest("hex");
  const options = { modelUrl: `${server.address}model`, device: "cpu", cache, manifestSha256 };
  try {
    (await FastMiniLM.load(options)).dispose();
    const { files } = JSON.parse(readFileSync(join(modelUrl, "manifest.json"), "utf8"));
    const kept = [manifestSha256, ...files.map(({ sha256 }) => sha256)].sort();
    assert.deepEqual(readdirSync(cache).sort(), kept);
    server.asked.length = 0;
    (await FastMiniLM.load(options)).dispose();
    assert.deepEqual(server.asked, []);
    writeFileSync(join(cache, files[0].sha256), "rotten");
    const again = await FastMiniLM.load(options);
    assert.deepEqual(server.asked, [`/model/${files[0].path}`]);
    assert.ok(worst(rows(await again.embed(sentences.slice(0, 1))), native.slice(0, 1)) < 1e-4);
    again.dispose();
    await assert.rejects(FastMiniLM.load({ ...options, cache: false, manifestSha256: "0".repeat(64) }), fails("integrity", /manifest\.json/));
    const engine = await Engine.open({ device: "cpu" });
    assert.deepEqual((await engine.cached(options)).complete, true);
    await engine.clearCache(options);
    engine.dispose();
    assert.deepEqual(readdirSync(cache), []);
  } finally {
    server.close();
  }
});

test("a program that neither disposes nor waits ends by itself", async () => {
  const program = `
    import { FastMiniLM } from ${JSON.stringify(pathToFileURL(join(here, "dist/node.js")).href)};
    const model = await FastMiniLM.load({ modelUrl: ${JSON.stringify(modelUrl)}, device: "cpu" });
    console.log((await model.embed(["a"])).dims.join());`;
  const { stdout } = await run(process.execPath, ["--input-type=module", "-e", program], { timeout: 120_000 });
  assert.equal(stdout.trim(), "1,384");
});

test("without the package webgpu, `webgpu` is refused and `auto` takes the CPU", async () => {
  // The package is installed where nothing else is.
  const alone = join(folder, "node_modules/cmm-web");
  cpSync(join(here, "dist"), join(alone, "dist"), { recursive: true });
  cpSync(join(here, "package.json"), join(alone, "package.json"));
  writeFileSync(join(folder, "program.mjs"), `
    import { FastMiniLM } from "cmm-web";
    const code = await FastMiniLM.load({ modelUrl: ${JSON.stringify(modelUrl)}, device: "webgpu" }).catch((error) => error.code);
    const model = await FastMiniLM.load({ modelUrl: ${JSON.stringify(modelUrl)} });
    console.log(code, model.description.device, model.description.because);
    model.dispose();`);
  const { stdout } = await run(process.execPath, [join(folder, "program.mjs")], { timeout: 120_000 });
  assert.equal(stdout.trim(), "no-webgpu cpu no-webgpu");
});

test("on Dawn, vectors are the native engine's; a lost device is said so, and taken again", async (t) => {
  if (!existsSync(SWIFTSHADER) && !process.env.CMM_DAWN) {
    console.error("SKIPPED: no SwiftShader of Debian's Chromium on this machine; with a GPU of its own set CMM_DAWN=1");
    return t.skip("no SwiftShader");
  }
  let lost;
  const told = new Promise((resolve) => (lost = resolve));
  const gpu = await FastMiniLM.load({ modelUrl, device: "webgpu", onLost: lost });
  assert.equal(gpu.description.device, "webgpu");
  console.log(`${gpu.description.adapter}: ${gpu.description.features.join(", ")}`);
  const few = sentences.slice(0, 8);
  const difference = worst(rows(await gpu.embed(few)), native.slice(0, 8));
  console.log(`largest difference of Dawn to the native engine: ${difference}`);
  assert.ok(difference < 1e-4);
  await (await gpu.engine).lose();
  assert.equal(typeof (await told), "string");
  await assert.rejects(gpu.embed(["a"]), fails("device-lost"));
  await gpu.recover();
  assert.ok(worst(rows(await gpu.embed(sentences.slice(0, 2))), native.slice(0, 2)) < 1e-4);
  const waiting = gpu.embed(few);
  gpu.dispose();
  await assert.rejects(waiting, fails("disposed"));
});

test("the types are there for programs without a browser's", async () => {
  writeFileSync(join(folder, "types.mts"), `
    import { CmmError, FastMiniLM, type Embeddings, type ErrorCode, type Hit } from "cmm-web";
    const model = await FastMiniLM.load({ modelUrl: "x", device: "auto", onProgress: (now) => void (now.stage satisfies string) });
    const { data, dims }: Embeddings = await model.embed(["a"]);
    const hits: Hit[] = await model.search("a", ["b"]);
    const code: ErrorCode = new CmmError("input", "x").code;
    export { data, dims, hits, code };
    // @ts-expect-error no such device
    await FastMiniLM.load({ modelUrl: "x", device: "tpu" });`);
  const options = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--lib", "es2022", "--types", "node", "--typeRoots", join(here, "node_modules/@types")];
  await run(join(here, "node_modules/.bin/tsc"), [...options, join(folder, "types.mts")], { cwd: folder }).catch(({ stdout }) => assert.fail(stdout));
});

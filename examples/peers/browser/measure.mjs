// Sentences to vectors in the same headless Chromium: cmm-web beside transformers.js.
//
//     web/build && cargo build --release
//     npm ci --ignore-scripts --prefix examples/peers/browser
//     python3 examples/peers/browser/prepare.py MINILM_DIR OUT_DIR/onnx/minilm
//     node web/pack-model.mjs MINILM_DIR OUT_DIR/minilm
//     node examples/peers/browser/measure.mjs MINILM_DIR OUT_DIR LINES.txt [RESULT.json]
//
// Each row runs in a browser of its own, on the same lines, with a text for each. ROWS='wasm|CPU'
// measures only the rows with matching names. Everything comes from this machine by HTTP: programs
// are gzipped, models are sent as they are.

import { createReadStream, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { launchChromium } from "../../../web/tests/support/browsers.mjs";
import { cosine, nativeVectors } from "../../../web/tests/support/native.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = join(here, "../../..");
const [minilm, out, texts, result] = process.argv.slice(2);
const lines = readFileSync(texts, "utf8").split("\n").filter((line) => line.trim());
/**
 * The runs over all lines. The first is not counted unless it is the only one: a software GPU takes
 * minutes.
 */
const RUNS = { cpu: 5, gpu: Number(process.env.GPU_RUNS ?? 1) };
const LIMIT = 100_000;

const modules = join(here, "node_modules");
const MOUNTS = {
  "/cmm-web/": join(root, "web/dist"),
  "/fastminilm/": join(root, "web/model"),
  "/minilm/": join(out, "minilm"),
  "/onnx/": join(out, "onnx"),
  "/transformers/": join(modules, "@huggingface/transformers/dist"),
  "/onnxruntime/": join(modules, "onnxruntime-web/dist"),
  "/": join(here, "page"),
};
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".json": "application/json" };

/** Programs, gzipped before anything is timed. */
const programs = new Map();
for (const mount of ["/cmm-web/", "/transformers/", "/onnxruntime/"]) {
  const wanted = { "/cmm-web/": /\.(js|wasm)$/, "/transformers/": /^transformers\.min\.js$/, "/onnxruntime/": /^ort-wasm.*\.(mjs|wasm)$/ }[mount];
  for (const name of readdirSync(MOUNTS[mount], { recursive: true }).filter((name) => wanted.test(name))) {
    programs.set(mount + name, gzipSync(readFileSync(join(MOUNTS[mount], name))));
  }
}

/**
 * Starts a server that counts what it sends. With `isolated` it sends the headers that threads
 * need.
 */
async function serve(isolated) {
  const sent = new Map();
  const server = createServer((request, response) => {
    const path = new URL(request.url, "http://localhost").pathname;
    const mount = Object.keys(MOUNTS).find((mount) => path.startsWith(mount));
    const file = join(MOUNTS[mount], path.slice(mount.length) || "index.html");
    const program = programs.get(path);
    const size = program?.length ?? statSync(file, { throwIfNoEntry: false })?.size;
    if (size === undefined || path.includes("..")) return response.writeHead(404).end();
    sent.set(path, (sent.get(path) ?? 0) + size);
    const headers = isolated ? { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" } : {};
    const encoding = program ? { "content-encoding": "gzip" } : {};
    response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream", "content-length": size, ...encoding, ...headers });
    if (program) response.end(program);
    else createReadStream(file).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { address: `http://127.0.0.1:${server.address().port}/`, sent, close: () => server.close() };
}

/**
 * Returns the memory of a process and of those it started. Each shared page counts once among the
 * processes that share it.
 */
function memory(pid) {
  const children = new Map();
  for (const name of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const parent = /^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${name}/status`, "utf8"))[1];
      children.set(parent, [...(children.get(parent) ?? []), name]);
    } catch {
      // The process has ended meanwhile.
    }
  }
  const all = [String(pid)];
  for (const one of all) all.push(...(children.get(one) ?? []));
  const pss = (one) => {
    try {
      return Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${one}/smaps_rollup`, "utf8"))[1]) * 1024;
    } catch {
      return 0;
    }
  };
  return all.map(pss).reduce((a, b) => a + b, 0);
}

async function measure({ name, module, options, native, isolated = false }) {
  const server = await serve(isolated);
  const browser = await launchChromium();
  const timeout = new Promise((_, reject) => setTimeout(() => reject(new Error(`no answer in ${LIMIT / 1e3} s`)), LIMIT).unref());
  try {
    const page = await browser.newPage();
    await page.goto(server.address);
    const before = memory(browser.process().pid);
    const asked = page.evaluate(
      async (module, options, lines, runs) => {
        const start = performance.now();
        const { open } = await import(module);
        const embed = await open(options);
        await embed(lines.slice(0, 1));
        const first = performance.now() - start;
        const seconds = [];
        let vectors;
        for (let run = 0; run < runs; run++) {
          const start = performance.now();
          vectors = await embed(lines);
          seconds.push((performance.now() - start) / 1e3);
        }
        return { first: first / 1e3, seconds: seconds.slice(runs > 1 ? 1 : 0), vectors };
      },
      module,
      options,
      lines,
      options.device === "webgpu" ? RUNS.gpu : RUNS.cpu,
    );
    const { first, seconds, vectors } = await Promise.race([asked, timeout]);
    const after = memory(browser.process().pid);
    const median = [...seconds].sort((a, b) => a - b)[seconds.length >> 1];
    const cosines = vectors.map((row, i) => cosine(row, native[i]));
    const fromNetwork = [...server.sent].filter(([path]) => path !== "/");
    return {
      name,
      linesPerSecond: lines.length / median,
      fastest: lines.length / Math.min(...seconds),
      firstVector: first,
      wireModel: fromNetwork.filter(([path]) => /^\/(onnx|minilm|fastminilm)\//.test(path)).reduce((sum, [, size]) => sum + size, 0),
      wireCode: fromNetwork.filter(([path]) => !/^\/(onnx|minilm|fastminilm)\//.test(path)).reduce((sum, [, size]) => sum + size, 0),
      memory: after - before,
      leastCosine: Math.min(...cosines),
      meanCosine: cosines.reduce((a, b) => a + b, 0) / cosines.length,
    };
  } catch (error) {
    return { name, failed: String(error.message ?? error).split("\n")[0].slice(0, 160) };
  } finally {
    await browser.close().catch(() => undefined);
    server.close();
  }
}

const native = { minilm: nativeVectors(minilm, lines), fastminilm: nativeVectors("models/fastminilm", lines) };
const ours = (name, model, device) => ({ name, module: "/ours.js", options: { modelUrl: `/${model}/`, device }, native: native[model] });
const theirs = (name, device, dtype, threads) => ({
  name,
  module: "/transformers.js",
  options: { model: "minilm", device, dtype, threads },
  native: native.minilm,
  isolated: threads > 1,
});
const rows = [
  ours("cmm-web, FastMiniLM, CPU", "fastminilm", "cpu"),
  ours("cmm-web, MiniLM, CPU", "minilm", "cpu"),
  theirs("transformers.js, MiniLM, wasm f32", "wasm", "fp32", 1),
  theirs("transformers.js, MiniLM, wasm q8", "wasm", "q8", 1),
  theirs("transformers.js, MiniLM, wasm q8, 2 threads", "wasm", "q8", 2),
  ours("cmm-web, FastMiniLM, WebGPU", "fastminilm", "webgpu"),
  ours("cmm-web, MiniLM, WebGPU", "minilm", "webgpu"),
  theirs("transformers.js, MiniLM, WebGPU f32", "webgpu", "fp32", 1),
].filter(({ name }) => new RegExp(process.env.ROWS ?? "").test(name));
const megabytes = (bytes) => (bytes / 1e6).toFixed(1);
console.log("| | lines/s | first vector, s | model, MB | code, MB | memory, MB | cosine to native, mean | least |\n|---|---|---|---|---|---|---|---|");
const measured = [];
for (const row of rows) {
  const one = await measure(row);
  measured.push(one);
  console.log(
    one.failed
      ? `| ${one.name} | ${one.failed} | | | | | | |`
      : `| ${one.name} | ${one.linesPerSecond.toFixed(1)} | ${one.firstVector.toFixed(2)} | ${megabytes(one.wireModel)} | ${megabytes(one.wireCode)} | ${megabytes(one.memory)} | ${one.meanCosine.toFixed(4)} | ${one.leastCosine.toFixed(4)} |`,
  );
}
const fidelity = native.fastminilm.map((row, i) => cosine(row, native.minilm[i])).reduce((a, b) => a + b, 0) / lines.length;
console.log(`mean cosine of FastMiniLM to MiniLM on these lines: ${fidelity.toFixed(4)}`);
if (result) writeFileSync(result, JSON.stringify(measured, null, 1));

#!/usr/bin/env node
// Embeds the page's corpus and its example questions with the package, on the CPU, so that the page need not: dist/corpus.

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Engine } from "../../web/dist/node.js";

const dist = join(dirname(fileURLToPath(import.meta.url)), "dist");
// To Node.js a .js file without a package.json is no module; a data: address is.
const script = readFileSync(join(dist, "corpus.js"), "base64");
const { corpus, examples } = await import(`data:text/javascript;base64,${script}`);
const modelUrl = join(dist, "model");
const manifest = readFileSync(join(modelUrl, "manifest.json"));

const engine = await Engine.open({ device: "cpu" });
await engine.load({ modelUrl });
const embed = (texts) => engine.embed(texts, { nodes: true });
const lines = await embed(corpus.map(({ text }) => text));
const questions = [];
for (const text of examples) questions.push(await embed([text]));
engine.dispose();

const sum = (values) => values.reduce((a, b) => a + b, 0);
const tokens = sum(lines.nodes.tokens);
// A path has a node for each level of a tree, and a tree of n levels 2^n - 1 nodes.
const engaged = lines.nodes.layers[0].length / tokens;
const neurons = 2 ** engaged - 1;
const heat = (nodes) => {
  const counts = new Array(neurons).fill(0);
  for (const node of nodes) counts[node]++;
  return counts;
};
const about = {
  manifestSha256: createHash("sha256").update(manifest).digest("hex"),
  width: lines.dims[1],
  tokens,
  layers: lines.nodes.layers.length,
  neurons,
  engaged,
  heat: lines.nodes.layers.map(heat),
  questions: questions.map(({ nodes }) => ({
    tokens: sum(nodes.tokens),
    engaged: nodes.layers.map((layer) => [...new Set(layer)].sort((a, b) => a - b)),
  })),
};
const vectors = Buffer.concat([lines, ...questions].map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength)));
mkdirSync(join(dist, "corpus"), { recursive: true });
writeFileSync(join(dist, "corpus/about.json"), JSON.stringify(about));
writeFileSync(join(dist, "corpus/vectors.f32"), vectors);
console.log(`${corpus.length} passages of ${tokens} tokens and ${examples.length} questions: ${vectors.length} bytes of vectors`);

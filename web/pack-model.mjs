#!/usr/bin/env node
// `cmm-web-pack MODEL_DIR OUT_DIR` packs a model's files for the web with gzip, and writes a
// manifest with their checksums.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { gzipSync } from "node:zlib";

const NEEDED = ["config.json", "tokenizer.json", "model.safetensors"];
const OPTIONAL = [
  "tokenizer_config.json",
  "special_tokens_map.json",
  "modules.json",
  "sentence_bert_config.json",
  "config_sentence_transformers.json",
  "1_Pooling/config.json",
];

const [from, to, ...rest] = process.argv.slice(2);
if (!from || !to || rest.length > 0) {
  console.error("usage: cmm-web-pack MODEL_DIR OUT_DIR");
  process.exit(2);
}
const missing = NEEDED.filter((file) => !existsSync(join(from, file)));
if (missing.length > 0) {
  console.error(`${from} has no ${missing.join(", ")}: name the folder of a model in safetensors`);
  process.exit(1);
}

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const files = [...NEEDED, ...OPTIONAL.filter((file) => existsSync(join(from, file)))].map((file) => {
  const content = readFileSync(join(from, file));
  const packed = gzipSync(content, { level: 9 });
  const path = `${file}.gz`;
  mkdirSync(dirname(join(to, path)), { recursive: true });
  writeFileSync(join(to, path), packed);
  return { file, path, wire: packed.length, bytes: content.length, sha256: sha256(content) };
});
const manifest = JSON.stringify({ name: basename(resolve(from)), files }, null, 1);
writeFileSync(join(to, "manifest.json"), manifest);
const sum = files.reduce((bytes, file) => bytes + file.wire, 0);
console.log(`${basename(resolve(from))}: ${sum} bytes over the wire; manifestSha256 ${sha256(manifest)}`);

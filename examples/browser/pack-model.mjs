// `node pack-model.mjs MODEL_DIR OUT_DIR`: a model's files, packed with gzip, and a manifest with their checksums.

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { gzipSync } from "node:zlib";

const FILES = [
  "config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "modules.json",
  "sentence_bert_config.json",
  "1_Pooling/config.json",
  "model.safetensors",
];

const [from, to] = process.argv.slice(2);
const files = FILES.map((file) => {
  const content = readFileSync(join(from, file));
  const packed = gzipSync(content, { level: 9 });
  const path = `${file}.gz`;
  mkdirSync(dirname(join(to, path)), { recursive: true });
  writeFileSync(join(to, path), packed);
  const sha256 = createHash("sha256").update(content).digest("hex");
  return { file, path, wire: packed.length, bytes: content.length, sha256 };
});
writeFileSync(join(to, "manifest.json"), JSON.stringify({ name: basename(from), files }, null, 1));
const sum = files.reduce((bytes, file) => bytes + file.wire, 0);
console.log(`${basename(from)}: ${sum} bytes over the wire`);

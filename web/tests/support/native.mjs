// The native engine, with whose vectors results are compared.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = join(dirname(fileURLToPath(import.meta.url)), "../../..");

export function cmm(...args) {
  const built = process.env.CMM ?? ["release", "debug"].map((kind) => join(root, "target", kind, "cmm")).find(existsSync);
  assert.ok(built, "no native cmm: cargo build, or name it with CMM");
  return execFileSync(built, args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"], maxBuffer: 1 << 26 });
}

export const jsonLines = (out) => out.trim().split("\n").map((line) => JSON.parse(line));

/** Returns vectors of a model on the CPU. */
export function nativeVectors(model, texts) {
  return jsonLines(cmm("embed", "--device", "cpu", "--json", "--model", model, "--", ...texts)).map(({ embedding }) => embedding);
}

export function cosine(a, b) {
  const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

/** Returns the largest difference between two lists of vectors. */
export function worst(here, there) {
  assert.equal(here.length, there.length);
  return Math.max(...here.flatMap((row, i) => row.map((value, at) => Math.abs(value - there[i][at]))));
}

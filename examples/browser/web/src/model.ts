/** The model's files: fetched with progress, unpacked, held against their checksums, kept in the browser's cache. */

import type { Stage } from "./messages.js";
import { sha256 } from "./pkg/cmm_browser.js";

interface File {
  file: string;
  path: string;
  wire: number;
  bytes: number;
  sha256: string;
}

export interface Manifest {
  name: string;
  files: File[];
}

/** An error whose name is the kind that the page has a message for. */
export function failure(kind: string, message: string): Error {
  const error = new Error(message);
  error.name = kind;
  return error;
}

const CACHE = "cmm-model";
const base = new URL("./model/", import.meta.url);

/** Where a file is, and, by its checksum, which one. */
const address = (file: File) => new URL(`${file.path}?${file.sha256.slice(0, 16)}`, base).href;

/** The cache, where the browser allows one: a page that is not from a secure origin has none. */
const cache = async () => ("caches" in self ? caches.open(CACHE).catch(() => null) : null);

export async function manifest(): Promise<Manifest> {
  const response = await fetch(new URL("manifest.json", base)).catch(() => null);
  if (!response?.ok) throw failure("download", `model/manifest.json: ${response?.status ?? "no connection"}`);
  return response.json().catch(() => {
    throw failure("corrupt", "model/manifest.json is not JSON");
  });
}

/** Bytes of the cached files, and whether all of them are there. */
export async function cached(): Promise<{ bytes: number; complete: boolean; wire: number }> {
  const { files } = await manifest();
  const store = await cache();
  const there = await Promise.all(files.map(async (file) => !!(await store?.match(address(file)))));
  const sum = (all: File[]) => all.reduce((bytes, file) => bytes + file.wire, 0);
  return { bytes: sum(files.filter((_, i) => there[i])), complete: there.every(Boolean), wire: sum(files) };
}

export async function clearCache(): Promise<void> {
  if ("caches" in self) await caches.delete(CACHE).catch(() => false);
}

/** All files of the model, by name. */
export async function download(progress: (stage: Stage) => void): Promise<Map<string, Uint8Array>> {
  const { files } = await manifest();
  const store = await cache();
  const contents = new Map<string, Uint8Array>();
  const total = files.reduce((bytes, file) => bytes + file.wire, 0);
  let before = 0;
  for (const file of files) {
    const tell = (loaded: number, cached: boolean) =>
      progress({ stage: "download", file: file.file, loaded: before + loaded, total, cached });
    contents.set(file.file, await get(file, store, tell, progress));
    before += file.wire;
  }
  return contents;
}

async function get(
  file: File,
  store: Cache | null,
  tell: (loaded: number, cached: boolean) => void,
  progress: (stage: Stage) => void,
): Promise<Uint8Array> {
  const kept = await store?.match(address(file));
  if (kept) {
    tell(0, true);
    const packed = await kept.blob();
    progress({ stage: "check", file: file.file });
    const content = await unpack(file, packed).catch(() => null);
    if (content) return content;
    // What was kept has rotted: fetch it again.
    await store?.delete(address(file));
  }
  const packed = await fetched(file, (loaded) => tell(loaded, false));
  progress({ stage: "check", file: file.file });
  const content = await unpack(file, packed);
  // Only what is right is kept. No room is no reason to stop.
  await store?.put(address(file), new Response(packed)).catch(() => undefined);
  return content;
}

async function fetched(file: File, tell: (loaded: number) => void): Promise<Blob> {
  const response = await fetch(address(file)).catch(() => null);
  if (!response?.ok || !response.body) {
    throw failure("download", `${file.file}: ${response ? `the server answered ${response.status}` : "no connection"}`);
  }
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let loaded = 0;
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read().catch(() => {
      throw failure("download", `${file.file}: the connection broke after ${loaded} bytes`);
    });
    if (done) return new Blob(parts);
    parts.push(value);
    loaded += value.length;
    tell(Math.min(loaded, file.wire));
  }
}

/** A file's content, unpacked unless the server did that on the way, and checked. */
async function unpack(file: File, packed: Blob): Promise<Uint8Array> {
  const [a, b] = new Uint8Array(await packed.slice(0, 2).arrayBuffer());
  const zipped = a === 0x1f && b === 0x8b;
  const stream = zipped ? packed.stream().pipeThrough(new DecompressionStream("gzip")) : packed.stream();
  const buffer = await new Response(stream).arrayBuffer().catch(() => {
    throw failure("corrupt", `${file.file} cannot be unpacked`);
  });
  const bytes = new Uint8Array(buffer);
  if ((await checksum(bytes)) !== file.sha256) {
    throw failure("corrupt", `${file.file} arrived with ${bytes.length} bytes that are not the model's ${file.bytes}`);
  }
  return bytes;
}

/** SHA-256 in hexadecimal: the browser's own, which a page that is not from a secure origin does not get, or the engine's. */
async function checksum(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  if (!("subtle" in crypto)) return sha256(bytes);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

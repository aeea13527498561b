/**
 * The files of a model. They are fetched with progress, unpacked, checked against their checksums,
 * and kept.
 */

import { CmmError } from "../errors.js";
import type { Cached, LoadProgress } from "../types.js";
import { LONGEST_MANIFEST, type Manifest, type ModelFile, parseManifest } from "./manifest.js";
import type { Host, Store } from "./wasm.js";

/** The place of a model, and the place where it is kept. */
export interface Located {
  /** The address of the folder, with a slash at its end. */
  base: string;
  cache: boolean | string | undefined;
  manifestSha256: string | undefined;
}

type Bytes = Uint8Array<ArrayBuffer>;

export class ModelFiles {
  private constructor(
    private readonly host: Host,
    private readonly sha256: (bytes: Uint8Array) => string,
    private readonly signal: AbortSignal,
    private readonly base: string,
    private readonly store: Store | null,
    readonly manifest: Manifest,
  ) {}

  /** Reads the manifest. If its checksum is known and the cache has it, it is read from there. */
  static async at(located: Located, host: Host, sha256: (bytes: Uint8Array) => string, signal: AbortSignal): Promise<ModelFiles> {
    const { base, cache, manifestSha256: pinned } = located;
    const store = await host.store(cache);
    const kept = pinned ? await store?.get(pinned) : null;
    let content = kept ? new Uint8Array(await kept.arrayBuffer()) : null;
    if (!content || (await checksum(content, sha256)) !== pinned) {
      content = await read("manifest.json", await host.fetch(`${base}manifest.json`, signal), LONGEST_MANIFEST);
      if (pinned) {
        const found = await checksum(content, sha256);
        if (found !== pinned) throw new CmmError("integrity", `manifest.json has the SHA-256 ${found}, but ${pinned} was expected`);
        await store?.put(pinned, new Blob([content])).catch(() => undefined);
      }
    }
    const manifest = parseManifest(new TextDecoder().decode(content));
    return new ModelFiles(host, sha256, signal, base, store, manifest);
  }

  /** Returns how much of the files is kept. */
  async cached(): Promise<Cached> {
    const { files } = this.manifest;
    const there = await Promise.all(files.map(async ({ sha256 }) => !!(await this.store?.has(sha256))));
    const sum = (all: ModelFile[]) => all.reduce((bytes, file) => bytes + file.wire, 0);
    return { bytes: sum(files.filter((_, i) => there[i])), complete: there.every(Boolean), wire: sum(files) };
  }

  /** Returns all files, by name. */
  async all(progress: (now: LoadProgress) => void): Promise<Map<string, Bytes>> {
    const { files } = this.manifest;
    const total = files.reduce((bytes, file) => bytes + file.wire, 0);
    const loaded = new Map<string, number>();
    // If one file fails, the others are no longer wanted.
    const failed = new AbortController();
    const signal = AbortSignal.any([this.signal, failed.signal]);
    const one = async (file: ModelFile): Promise<[string, Bytes]> => {
      const tell = (bytes: number, cached: boolean) => {
        loaded.set(file.file, bytes);
        const sum = [...loaded.values()].reduce((a, b) => a + b, 0);
        progress({ stage: "download", file: file.file, loaded: sum, total, cached });
      };
      return [file.file, await this.one(file, signal, tell, progress)];
    };
    try {
      return new Map(await Promise.all(files.map(one)));
    } catch (error) {
      failed.abort();
      throw error;
    }
  }

  private async one(
    file: ModelFile,
    signal: AbortSignal,
    tell: (loaded: number, cached: boolean) => void,
    progress: (now: LoadProgress) => void,
  ): Promise<Bytes> {
    const kept = await this.store?.get(file.sha256);
    if (kept) {
      tell(file.wire, true);
      progress({ stage: "check", file: file.file });
      const content = await this.unpacked(file, kept).catch(() => null);
      if (content) return content;
      // The kept file is damaged, so it is fetched again.
      await this.store?.delete(file.sha256);
    }
    const stream = await this.host.fetch(this.base + file.path, signal).catch((error) => {
      throw error instanceof CmmError ? new CmmError(error.code, `${file.file}: ${error.message}`) : error;
    });
    // A server may have unpacked it on the way.
    const most = Math.max(file.wire, file.bytes);
    const packed = new Blob([await read(file.file, stream, most, (bytes) => tell(Math.min(bytes, file.wire), false))]);
    progress({ stage: "check", file: file.file });
    const content = await this.unpacked(file, packed);
    // Only correct files are kept. A lack of room is no reason to stop.
    await this.store?.put(file.sha256, packed).catch(() => undefined);
    return content;
  }

  /** Returns a file's content, checked, and unpacked unless the server did that on the way. */
  private async unpacked(file: ModelFile, packed: Blob): Promise<Bytes> {
    const [a, b] = new Uint8Array(await packed.slice(0, 2).arrayBuffer());
    const zipped = a === 0x1f && b === 0x8b;
    const plain = packed.stream() as ReadableStream<Bytes>;
    const stream = zipped ? plain.pipeThrough(new DecompressionStream("gzip") as ReadableWritablePair<Bytes, Bytes>) : plain;
    const content = await read(file.file, stream, file.bytes).catch((error) => {
      throw error instanceof CmmError && error.code !== "download" ? error : new CmmError("integrity", `${file.file} cannot be unpacked`);
    });
    if ((await checksum(content, this.sha256)) !== file.sha256) {
      throw new CmmError("integrity", `${file.file} arrived with ${content.length} bytes that are not the model's ${file.bytes}`);
    }
    return content;
  }
}

/** Reads a whole stream, unless it is longer than it may be. */
async function read(name: string, stream: ReadableStream<Bytes>, most: number, tell?: (loaded: number) => void): Promise<Bytes> {
  const parts: Bytes[] = [];
  let length = 0;
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read().catch(() => {
      throw new CmmError("download", `${name}: the connection broke after ${length} bytes`);
    });
    if (done) break;
    length += value.length;
    if (length > most) {
      void reader.cancel().catch(() => undefined);
      throw new CmmError("integrity", `${name} is longer than the ${most} bytes that it may have`);
    }
    parts.push(value);
    tell?.(length);
  }
  const content = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    content.set(part, at);
    at += part.length;
  }
  return content;
}

/**
 * Returns the SHA-256 in hexadecimal. The platform computes it, or the engine on a page that is not
 * from a secure origin.
 */
async function checksum(bytes: Bytes, sha256: (bytes: Uint8Array) => string): Promise<string> {
  if (!globalThis.crypto?.subtle) return sha256(bytes);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

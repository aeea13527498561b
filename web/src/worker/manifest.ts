/** Which files a model has, and how each is known to be right: `manifest.json`, as `cmm-web-pack` writes it. */

import { CmmError } from "../errors.js";

export interface ModelFile {
  /** Its name in the model's folder, for the engine. */
  file: string;
  /** Where it is, packed, beside the manifest. */
  path: string;
  /** Bytes over the wire. */
  wire: number;
  /** Bytes unpacked. */
  bytes: number;
  /** Of what is unpacked, in hexadecimal. */
  sha256: string;
}

export interface Manifest {
  name: string;
  files: ModelFile[];
}

/** Longer ones are none. */
export const LONGEST_MANIFEST = 1 << 20;
/** Bytes of all files: more than WebAssembly holds beside a model made of them. */
const MOST_BYTES = 2 ** 31;

/** A manifest from its JSON text. */
export function parseManifest(text: string): Manifest {
  const wrong = (what: string) => new CmmError("integrity", `manifest.json: ${what}`);
  let json: any;
  try {
    json = JSON.parse(text);
  } catch {
    throw wrong("it is not JSON");
  }
  if (typeof json?.name !== "string" || !Array.isArray(json.files)) throw wrong("a name and a list of files were expected");
  const files = json.files.map((entry: any): ModelFile => {
    const { file, path, wire, bytes, sha256 } = entry ?? {};
    const name = JSON.stringify(file);
    if (!isPlainPath(file) || !isPlainPath(path)) throw wrong(`${name} at ${JSON.stringify(path)} is no path below the model`);
    if (!isLength(wire) || !isLength(bytes)) throw wrong(`${name} has no lengths`);
    if (typeof sha256 !== "string" || !/^[0-9a-f]{64}$/.test(sha256)) throw wrong(`${name} has no SHA-256`);
    return { file, path, wire, bytes, sha256 };
  });
  const sum = files.reduce((sum: number, { bytes }: ModelFile) => sum + bytes, 0);
  if (sum > MOST_BYTES) throw wrong(`its files are ${sum} bytes, and ${MOST_BYTES} is the most`);
  return { name: json.name, files };
}

/** Names and folders, one after the other: nothing that leads out of a folder, or to another server. */
const isPlainPath = (path: unknown) =>
  typeof path === "string" && path.split("/").every((part) => /^[\w.-]+$/.test(part) && !/^\.+$/.test(part));

const isLength = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;

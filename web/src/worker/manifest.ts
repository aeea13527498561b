/**
 * The manifest of a model, `manifest.json`, as `cmm-web-pack` writes it: the model's files, and how
 * each is checked.
 */

import { CmmError } from "../errors.js";

export interface ModelFile {
  /** The file's name in the model's folder, for the engine. */
  file: string;
  /** The place of the packed file beside the manifest. */
  path: string;
  /** The bytes over the wire. */
  wire: number;
  /** The bytes of the unpacked file. */
  bytes: number;
  /** The checksum of the unpacked file, in hexadecimal. */
  sha256: string;
}

export interface Manifest {
  name: string;
  files: ModelFile[];
}

/** The length of the longest manifest. */
export const LONGEST_MANIFEST = 1 << 20;
/** The most bytes of all files. WebAssembly cannot hold more of them beside a model. */
const MOST_BYTES = 2 ** 31;

/** Reads a manifest from its JSON text. */
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
    if (!isPlainPath(file) || !isPlainPath(path)) throw wrong(`${name} at ${JSON.stringify(path)} is not a path below the model`);
    if (!isLength(wire) || !isLength(bytes)) throw wrong(`${name} has no lengths`);
    if (typeof sha256 !== "string" || !/^[0-9a-f]{64}$/.test(sha256)) throw wrong(`${name} has no SHA-256`);
    return { file, path, wire, bytes, sha256 };
  });
  const sum = files.reduce((sum: number, { bytes }: ModelFile) => sum + bytes, 0);
  if (sum > MOST_BYTES) throw wrong(`its files are ${sum} bytes, and ${MOST_BYTES} is the most`);
  return { name: json.name, files };
}

/**
 * Returns whether a path consists of plain names of folders and files, so that it leads neither out
 * of a folder nor to another server.
 */
const isPlainPath = (path: unknown) =>
  typeof path === "string" && path.split("/").every((part) => /^[\w.-]+$/.test(part) && !/^\.+$/.test(part));

const isLength = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;

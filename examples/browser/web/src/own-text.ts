/** A visitor's own text, cut into what is searched. */

import type { Passage } from "./corpus.js";
import { count } from "./dom.js";

const MOST_BYTES = 256 << 10;
/** About as many as a processor embeds in half a minute. */
const MOST_PASSAGES = 2000;
/** A longer line is cut at its sentences: one vector says little of a whole page. */
const LONG = 400;

/** A file's text. Throws an error, in words for its visitor, where that is too much, or none. */
export async function textOf(file: File): Promise<string> {
  if (file.size > MOST_BYTES) throw tooLong(file.name, file.size);
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    if (!text.includes("\0")) return text;
  } catch {
    // It is said below.
  }
  throw new Error(`${file.name} is not plain text in UTF-8.`);
}

/** Its lines, long ones sentence by sentence. Throws an error, in words for its visitor. */
export function passagesOf(text: string, name = "This text"): Passage[] {
  const bytes = new TextEncoder().encode(text).length;
  if (bytes > MOST_BYTES) throw tooLong(name, bytes);
  const passages = text.split(/\r?\n/).flatMap((line, index) => {
    const parts = line.length > LONG ? line.split(/(?<=[.!?…])\s+/) : [line];
    return parts.map((part) => ({ text: part.trim(), place: `line ${count(index + 1)}` }));
  });
  const some = passages.filter(({ text }) => text !== "");
  if (some.length === 0) throw new Error("There is no text yet: paste some, or choose a file.");
  if (some.length > MOST_PASSAGES) {
    throw new Error(`${name} has ${count(some.length)} lines; this page searches ${count(MOST_PASSAGES)}. The native cmm search takes any number.`);
  }
  return some;
}

const kilobytes = (bytes: number) => `${count(Math.ceil(bytes / 1024))} KB`;
const tooLong = (name: string, bytes: number) =>
  new Error(`${name} has ${kilobytes(bytes)}; this page searches ${kilobytes(MOST_BYTES)}. The native cmm search takes any number.`);

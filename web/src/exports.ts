/** The exports of the package. */

export { Engine } from "./engine.js";
export { CmmError, type ErrorCode } from "./errors.js";
export { FastMiniLM } from "./fast-minilm.js";
export { cosine, nearest, vector } from "./nearest.js";
export type * from "./types.js";

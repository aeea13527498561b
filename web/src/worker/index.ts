/** The exports for workers with methods of their own: `cmm-web/worker`. */

export { CmmError } from "../errors.js";
export { browser, browserPort } from "./in-browser.js";
export type { Methods, Progress } from "./serve.js";
export { type Extension, startSession } from "./session.js";
export type { Host, Wasm, WasmEngine } from "./wasm.js";

// Opens the built package on a page of its own.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { serve } from "./server.mjs";

export const here = fileURLToPath(new URL("../..", import.meta.url));

/** Serves an empty page, the package below `/package/`, and the packed model below `/model/`. */
export function servePackage(options = {}) {
  assert.ok(existsSync(join(here, "dist/pkg")), "the package is not built: web/build");
  const mounts = { "/package/": join(here, "dist"), "/model/": join(here, "model") };
  return serve(join(here, "tests/support/page"), { mounts, ...options });
}

/** Opens a page with the package's exports as globals, and with two helpers. */
export async function openPackage(browser, address, from = "/package/index.js") {
  const page = await browser.newPage();
  await page.goto(address);
  await page.evaluate(async (from) => {
    const rows = ({ data, dims: [count, width] }) =>
      Array.from({ length: count }, (_, i) => [...data.subarray(i * width, (i + 1) * width)]);
    const told = (promise) => promise.then(() => ({ code: "none" }), ({ name, code, message }) => ({ name, code, message }));
    Object.assign(globalThis, await import(from), { rows, told });
  }, from);
  return page;
}

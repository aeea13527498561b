// A small Vite project that imports the package by its name, built and run in Chromium.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { build } from "vite";
import { launchChromium } from "./support/browsers.mjs";
import { nativeVectors, worst } from "./support/native.mjs";
import { here } from "./support/package.mjs";
import { serve } from "./support/server.mjs";

test("a build by Vite finds worker and WebAssembly", async () => {
  const root = mkdtempSync(join(tmpdir(), "cmm-vite-"));
  let browser;
  let server;
  try {
    mkdirSync(join(root, "node_modules"));
    symlinkSync(here, join(root, "node_modules/cmm-web"));
    writeFileSync(join(root, "index.html"), '<!doctype html><title>Vite</title><script type="module" src="/main.js"></script>');
    writeFileSync(
      join(root, "main.js"),
      'import { FastMiniLM } from "cmm-web"; const model = await FastMiniLM.load({ modelUrl: "/model/", device: "cpu" });' +
        'globalThis.vector = [...(await model.embed(["A man is playing a flute."])).data];',
    );
    await build({ root, logLevel: "warn", worker: { format: "es" }, build: { target: "es2022" } });
    server = await serve(join(root, "dist"), { mounts: { "/model/": join(here, "model") } });
    browser = await launchChromium();
    const page = await browser.newPage();
    page.on("pageerror", (error) => console.error(error));
    await page.goto(server.address);
    await page.waitForFunction(() => globalThis.vector, { timeout: 120_000 });
    const vector = await page.evaluate(() => globalThis.vector);
    assert.ok(worst([vector], nativeVectors("models/fastminilm", ["A man is playing a flute."])) < 1e-4);
  } finally {
    await browser?.close();
    server?.close();
    rmSync(root, { recursive: true, force: true });
  }
});

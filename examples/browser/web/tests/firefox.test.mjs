// The same page in Firefox, where that is installed and its headless WebGPU runs.

import assert from "node:assert/strict";
import { test } from "node:test";
import { click, cosine, dist, firefox, jsonLines, launchFirefox, onModel, open, said, sentences, serve, state, vectors, view } from "./browser.mjs";

test("Firefox computes what the native engine computes", async (t) => {
  if (!firefox) {
    console.error("SKIPPED: no Firefox on this machine; name one with FIREFOX");
    return t.skip("no Firefox");
  }
  const server = await serve(dist);
  const browser = await launchFirefox();
  try {
    const page = await open(browser, server.address, { scheme: null });
    await state(page, "seeded");
    await view(page, "path");
    await said(page, "#engaged-count", /computed 12 neurons/);
    await view(page, "ask");
    await click(page, "#load");
    await state(page, "ready");
    const few = sentences.slice(0, 8);
    const here = await vectors(page, few);
    const there = jsonLines(onModel("embed", "--json", ...few));
    few.forEach((sentence, i) => assert.ok(cosine(here[i], there[i].embedding) > 0.9999, sentence));
    await click(page, "footer summary");
    await click(page, "#compile");
    console.log(await said(page, "#compiled", /^all \d+ accepted/));
  } finally {
    await browser.close();
    server.close();
  }
});

// The page in Chromium, by its visible controls. `npm test` after ../build.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ask, cmm, cosine, dist, failure, jsonLines, launchChromium, onModel, open, said, sentences, serve, shot, state, text, type, vectors, view } from "./browser.mjs";

let server;
let browser;
/** The page with the model on it, which many tests use in turn. */
let ready;

before(async () => {
  server = await serve(dist);
  browser = await launchChromium();
});

after(async () => {
  await browser?.close();
  server?.close();
});

/** The rows of the walk that the Path view shows. */
const steps = (page) =>
  page.$$eval("#steps tr", (rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent.replaceAll(",", ""))));

async function assertWalk(page) {
  const rows = await steps(page);
  assert.equal(rows.length, 12);
  assert.equal(rows[0][1], "0");
  rows.forEach(([level, node, logit, goes, gelu], index) => {
    assert.equal(Number(level), index);
    const z = Number(logit);
    if (index < 11) {
      assert.match(goes, z > 0 ? /right/ : /left/);
      assert.equal(Number(rows[index + 1][1]), 2 * Number(node) + (z > 0 ? 2 : 1));
    } else assert.match(goes, /leaf/);
    // GELU is z * Phi(z): between 0 and z above zero, between -0.17 and 0 below.
    assert.ok(z > 0 ? gelu >= 0 && gelu <= z + 1e-3 : gelu <= 0 && gelu >= -0.171, `${z} ${gelu}`);
  });
}

const inkOf = (page, selector) =>
  page.$eval(selector, (canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return new Set(new Uint32Array(data.buffer)).size;
  });

test("before the model is there, Path, Race and Benchmark run on seeded layers", async () => {
  const page = await open(browser, `${server.address}#path`);
  await state(page, "seeded");
  console.log(`first interactive view after ${await page.$eval("body", (body) => body.dataset.ready)} ms`);
  await said(page, "#engaged-count", /computed 12 neurons; the other 4,083/);
  await type(page, "#path-text", "owl owl mouse");
  await said(page, "#path-tokens", /^owlowlmouse$/);
  await assertWalk(page);
  await page.click("#path-tokens button:nth-child(1)");
  const first = await steps(page);
  await page.click("#path-tokens button:nth-child(2)");
  assert.deepEqual(await steps(page), first, "the same word walks the same way");
  await page.click("#path-tokens button:nth-child(3)");
  assert.notDeepEqual(await steps(page), first);
  await new Promise((resolve) => setTimeout(resolve, 1200));
  assert.ok((await inkOf(page, "#rings")) > 20, "the tree is drawn");
  assert.match(await text(page, "#path-what"), /seeded random tree/);

  await view(page, "race");
  await page.$eval("#race-tokens", (slider) => ((slider.value = "2"), slider.dispatchEvent(new Event("input"))));
  assert.equal(await text(page, "#race-size"), "4");
  await page.click("#race-go");
  await said(page, "#race-verdict", /times (faster|slower) than the dense layer of 4,095 neurons.*FFF right.*dense right/s);

  await view(page, "ask");
  assert.ok(await page.$eval("#query", (input) => input.disabled));
  await shot(page, "ask-before-the-model");
  assert.deepEqual(page.errors, []);
  await page.close();
});

test("a model that does not arrive, or arrives damaged, is said so, and the way on works", async () => {
  const page = await open(browser, server.address);
  await state(page, "seeded");
  await page.waitForSelector("#load:not([hidden])");
  const weights = "/model/model.safetensors.gz";

  server.faults.set(weights, (response) => response.writeHead(404).end());
  await page.click("#load");
  let shown = await failure(page);
  assert.match(shown.title, /did not arrive/);
  assert.match(shown.words, /model\.safetensors: the server answered 404/);
  await shot(page, "failure-download");

  server.faults.set(weights, (response, file) => {
    const content = readFileSync(file);
    response.writeHead(200, { "content-length": content.length });
    response.write(content.subarray(0, content.length / 2), () => response.destroy());
  });
  await page.click("#failure-action");
  shown = await failure(page);
  assert.match(shown.words, /the connection broke after \d+ bytes/);

  server.faults.set(weights, (response, file) => {
    const content = readFileSync(file);
    content[content.length >> 1] ^= 0x10;
    response.writeHead(200, { "content-length": content.length }).end(content);
  });
  await page.click("#failure-action");
  await page.waitForSelector("#failure[hidden]");
  shown = await failure(page);
  assert.match(shown.title, /arrived damaged/);
  assert.match(shown.words, /model\.safetensors/);
  await shot(page, "failure-corrupt");

  server.faults.clear();
  await page.click("#failure-action");
  await state(page, "ready");
  assert.match(await text(page, "#cache"), /^3\d MB$/);
  ready = page;
  // The console names the failed requests; nothing else may be there.
  assert.deepEqual(page.errors.filter((error) => !/Failed to load resource/.test(error)), []);
  page.errors.length = 0;
});

test("vectors are the native engine's", async () => {
  const here = await vectors(ready, sentences);
  const folder = mkdtempSync(join(tmpdir(), "cmm-"));
  writeFileSync(join(folder, "lines.txt"), sentences.join("\n"));
  const there = jsonLines(onModel("embed", "--json", "--in", join(folder, "lines.txt")));
  rmSync(folder, { recursive: true });
  assert.equal(there.length, sentences.length);
  const cosines = sentences.map((_, i) => cosine(here[i], there[i].embedding));
  console.log(`smallest cosine of ${cosines.length}: ${Math.min(...cosines)}`);
  cosines.forEach((value, i) => assert.ok(value > 0.9999, `${sentences[i]}: ${value}`));
});

test("a search finds what the native engine finds", async () => {
  await view(ready, "ask");
  await ask(ready, "birds that travel in winter");
  await said(ready, "#ask-cost", /for 7 tokens.*12 of 4,095/);
  const found = await ready.$$eval("#found li", (lines) =>
    lines.map((line) => [line.querySelector(".text").textContent, Number(line.querySelector("data").textContent)]),
  );
  const lines = await ready.evaluate(() => cmm.lines);
  const folder = mkdtempSync(join(tmpdir(), "cmm-"));
  writeFileSync(join(folder, "lines.txt"), lines.join("\n"));
  const native = onModel("search", "birds that travel in winter", "--in", join(folder, "lines.txt"), "--top", "8", "--json");
  rmSync(folder, { recursive: true });
  const wanted = jsonLines(native);
  assert.equal(found.length, wanted.length);
  wanted.forEach(({ text, similarity }, i) => {
    assert.equal(found[i][0], text);
    assert.ok(Math.abs(found[i][1] - similarity) < 1e-3);
  });
  assert.equal(await ready.$$eval("#fields canvas", (all) => all.length), 6);
});

test("the visitor's own lines are searched, and the page's own come back", async () => {
  await ready.click("#ask details summary");
  await ready.click("#use-own");
  assert.match(await text(ready, "#own-note"), /at least one line/);
  await ready.type("#own-lines", "The cat sleeps.\n\nStocks fell on Tuesday.\n");
  await ready.click("#use-own");
  await said(ready, "#corpus-size", /^2 lines/);
  await ask(ready, "a pet takes a nap");
  await said(ready, "#found li:first-child .text", /The cat sleeps/);
  await ready.click("#use-shipped");
  await said(ready, "#corpus-size", /^100 lines/);
});

test("with the model, Path shows its own trees, layer by layer", async () => {
  await view(ready, "path");
  await type(ready, "#path-text", "The owl hunts");
  await said(ready, "#path-tokens", /^\[CLS\]theowlhunts\[SEP\]$/);
  assert.equal(await ready.$eval("#path-tokens [aria-pressed=true]", (button) => button.textContent), "hunts");
  await assertWalk(ready);
  assert.match(await text(ready, "#path-what"), /FastMiniLM's own tree.*the f64 reference takes the same/);
  const first = await steps(ready);
  await ready.select("#path-layer", "5");
  await ready.waitForFunction((before) => document.getElementById("steps").textContent !== before, {}, first.flat().join(""));
  await ready.waitForFunction((before) => document.querySelector("#steps td:nth-child(3)").textContent !== before, {}, first[0][2]);
  await assertWalk(ready);
  // The path is the native engine's.
  const inspected = JSON.parse(onModel("inspect", "--text", "The owl hunts", "--json"));
  const nodes = (await steps(ready)).map((row) => Number(row[1]));
  assert.deepEqual(nodes, inspected.layers[5].tokens[3][1][0]);
  // Pointing tells of a node: the middle is the root, which every token of the corpus engaged.
  await ready.hover("#rings");
  const tokens = await ready.evaluate(() => cmm.indexed.tokens.toLocaleString("en"));
  await said(ready, "#pointed", new RegExp(`^Node 0: ${tokens} of the corpus`));
});

test("a race runs on the model's own layer, against any of the dense ones", async () => {
  await view(ready, "race");
  await said(ready, "#race-layer", /Layer 4 of FastMiniLM, 384 wide/);
  for (const [value, neurons] of [["12", "12"], ["1536", "1,536"]]) {
    await ready.select("#race-against", value);
    await ready.click("#race-go");
    await said(ready, "#race-verdict", new RegExp(`dense layer of ${neurons} neurons.*FFF right.*dense right`, "s"));
  }
  assert.equal(await ready.$$eval("#race-chart path", (all) => all.length), 3);
  assert.match(await text(ready, "#race-crossing"), /Against dense|is faster from/);
});

test("the benchmark's result is the native command's, both ways", async () => {
  const context = browser.defaultBrowserContext();
  await context.overridePermissions(server.address, ["clipboard-read", "clipboard-sanitized-write"]);
  await view(ready, "benchmark");
  await ready.bringToFront();
  await ready.click("#bench-run");
  await said(ready, "#bench-state", /All 6 rows agree with the f64 reference/);
  await ready.click("#bench-copy");
  await said(ready, "#bench-state", /Copied/);
  const copied = await ready.evaluate(() => navigator.clipboard.readText());
  const report = JSON.parse(copied);
  assert.ok(report.complete && report.machine.backend === "webgpu" && /swiftshader/.test(report.machine.adapter) && /Chrome/.test(report.machine.system), copied);

  const folder = mkdtempSync(join(tmpdir(), "cmm-"));
  const [mine, native] = [join(folder, "browser.json"), join(folder, "native.json")];
  writeFileSync(mine, copied);
  assert.match(cmm("bench", "show", mine), /FFF 1x11/);
  cmm("bench", "--width", "128", "-b", "1,16,64", "--precision", "f32", "--quick", "--out", native);
  const input = await ready.$("#bench-file");
  await input.uploadFile(native);
  await said(ready, "#bench-imported", /native\.json: .*, 6 rows/);
  await ready.waitForFunction(() => document.querySelectorAll("#bench-compared tr").length === 6);
  assert.match(cmm("bench", "compare", mine, native), /dense 4095/);

  writeFileSync(native, "{}");
  await input.uploadFile(native);
  await said(ready, "#bench-imported", /native\.json is no result of cmm bench/);
  rmSync(folder, { recursive: true });
});

test("the browser's own compiler takes every kernel it may get", async () => {
  await ready.click("footer summary");
  await ready.click("#compile");
  console.log(await said(ready, "#compiled", /^all \d+ accepted by this browser's compiler$/));
});

test("a lost device is said so, and the page starts again, from its cache", async () => {
  assert.deepEqual(ready.errors, []);
  await ready.click("#lose");
  const shown = await failure(ready);
  assert.match(shown.title, /taken away/);
  await shot(ready, "failure-lost");
  server.asked.length = 0;
  await ready.click("#failure-action");
  await state(ready, "ready");
  assert.ok(!server.asked.some((path) => path.endsWith(".gz")), "nothing is fetched again");
  await view(ready, "ask");
  await ask(ready, "thunderstorm");
  await said(ready, "#found li:first-child .text", /Lightning/);
});

test("typing, switching and changing batches leave no error and no memory behind", async () => {
  const seconds = Number(process.env.CMM_MONKEY_SECONDS ?? 15);
  ready.errors.length = 0;
  const words = ["owl", "bread rises", "the sea, the sea", "?", "", "a b c d e f g h", "électricité"];
  // The same choices every time.
  let seed = 7;
  const pick = (from) => from[(seed = (seed * 16807) % 2147483647) % from.length];
  const memory = async () => {
    await view(ready, "ask");
    await ask(ready, "plants and sunlight");
    await said(ready, "#found li:first-child .text", /Leaves/);
    await new Promise((resolve) => setTimeout(resolve, 300));
    return Number.parseFloat(await text(ready, "#memory"));
  };
  const quiet = () => ready.waitForFunction(() => !document.getElementById("race-go").disabled, { timeout: 300_000 });
  const actions = [
    async () => (await view(ready, "ask"), await type(ready, "#query", pick(words))),
    async () => (await view(ready, "path"), await type(ready, "#path-text", pick(words))),
    async () => (await view(ready, "path"), await ready.select("#path-layer", pick(["0", "1", "2", "3", "4", "5"]))),
    async () => {
      await view(ready, "race");
      await quiet();
      await ready.select("#race-against", pick(["12", "1536"]));
      await ready.$eval("#race-tokens", (slider, value) => ((slider.value = value), slider.dispatchEvent(new Event("input"))), pick(["0", "2", "4"]));
      await ready.click("#race-go");
    },
    async () => view(ready, pick(["ask", "path", "race", "benchmark"])),
  ];
  for (const action of actions) await action();
  await quiet();
  const begun = await memory();
  let count = 0;
  for (const end = Date.now() + seconds * 1e3; Date.now() < end; count++) await pick(actions)();
  await view(ready, "race");
  await quiet();
  const ended = await memory();
  console.log(`${count} actions in ${seconds} s: ${begun} MB of GPU memory before, ${ended} MB after`);
  assert.ok(ended <= begun + 1, `${begun} MB before, ${ended} MB after`);
  assert.ok(await ready.$eval("#failure", (box) => box.hidden));
  assert.deepEqual(ready.errors, []);
});

test("every view in both themes and at a phone's width fits, and is pictured", async () => {
  for (const [name, width] of [["desktop", 1200], ["phone", 390]]) {
    await ready.setViewport({ width, height: 900, deviceScaleFactor: name === "phone" ? 2 : 1 });
    for (const scheme of ["light", "dark"]) {
      await ready.emulateMediaFeatures([
        { name: "prefers-color-scheme", value: scheme },
        { name: "prefers-reduced-motion", value: "reduce" },
      ]);
      for (const which of ["ask", "path", "race", "benchmark"]) {
        await view(ready, which);
        await new Promise((resolve) => setTimeout(resolve, 700));
        const [wide, seen] = await ready.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
        assert.ok(wide <= seen, `${which} is ${wide} wide in a window of ${seen}`);
        await shot(ready, `${which}-${scheme}-${name}`);
      }
    }
  }
});

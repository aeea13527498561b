// The page in Chromium, by its visible controls. `npm test` after ../build.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import {
  answered, ask, assertToScale, barriers, BESIDE, click, cmm, cosine, dist, failure, jsonLines, launchChromium, onModel, open, root, said, sentences, serve,
  shot, state, text, type, until, vectors, view, worst,
} from "./browser.mjs";

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

/** Waits until something is drawn on each of so many canvases. */
const drawn = (page, selector, wanted) =>
  until(
    page,
    (selector, wanted) => {
      const coloured = (canvas) => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return new Set(new Uint32Array(data.buffer)).size > 2;
      };
      const all = [...document.querySelectorAll(selector)];
      return all.length === wanted && all.every(coloured);
    },
    selector,
    wanted,
  );

/** Runs a race of 2^power tokens, and waits for its end. */
async function raceOf(page, power, against) {
  await page.select("#race-against", against);
  await page.$eval("#race-tokens", (slider, power) => ((slider.value = String(power)), slider.dispatchEvent(new Event("input"))), power);
  await click(page, "#race-go");
  await until(page, () => !document.getElementById("race-go").disabled);
}

/** The answer that Ask shows. */
const found = (page) =>
  page.$$eval("#found li", (lines) => lines.map((line) => [line.querySelector(".text").textContent, Number(line.querySelector("data").value)]));

/** Lines in a file, for as long as `work` takes. */
function withLines(lines, work) {
  const folder = mkdtempSync(join(tmpdir(), "cmm-"));
  writeFileSync(join(folder, "lines.txt"), lines.join("\n"));
  try {
    return work(join(folder, "lines.txt"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("before the model is there, its own questions are answered, and Path, Race and Benchmark run on seeded layers", async () => {
  const page = await open(browser, server.address);
  await answered(page, "May I leave my country and come back?");
  assert.match((await found(page))[0][0], /right to leave any country/);
  assert.equal(await text(page, "#found li:first-child .place"), "Article 13.2");
  await state(page, "seeded");
  console.log(`first interactive view after ${await page.$eval("body", (body) => body.dataset.ready)} ms`);
  await click(page, "#examples button:last-child");
  await said(page, "#ask-verdict", /^Nothing close\. The nearest of 57 passages scores 0\.\d\d:$/);
  assert.equal((await found(page)).length, 1);
  await until(page, () => location.hash === "#ask?q=How+long+do+I+boil+an+egg%3F");
  await type(page, "#query", "owls");
  await said(page, "#ask-verdict", /For any other the model is needed: 35 MB/);
  await shot(page, "ask-before-the-model");

  await view(page, "path");
  await said(page, "#engaged-count", /computed 12 neurons; the other 4,083/);
  await type(page, "#path-text", "owl owl mouse");
  await said(page, "#path-tokens", /^owlowlmouse$/);
  await assertWalk(page);
  await click(page, "#path-tokens button:nth-child(1)");
  const first = await steps(page);
  await click(page, "#path-tokens button:nth-child(2)");
  assert.deepEqual(await steps(page), first, "the same word walks the same way");
  await click(page, "#path-tokens button:nth-child(3)");
  assert.notDeepEqual(await steps(page), first);
  await drawn(page, "#rings", 1);
  assert.match(await text(page, "#path-what"), /seeded random tree/);

  await view(page, "race");
  await raceOf(page, 2, "equal");
  assert.equal(await text(page, "#race-size"), "4");
  assert.match(await text(page, "#race-verdict"), new RegExp(`^For 4 tokens, choosing 12 neurons ${BESIDE} computing 12 fixed ones\\.$`));
  // The rival at equal work is the faster of two ways to compute it.
  assert.match(await text(page, "#race-checked"), /^All lanes agree.*Fixed neurons are fastest in the .* they take/);

  await view(page, "ask");
  assert.match(await text(page, "#here"), /is not measured yet: on a GPU in software it takes some seconds/);
  await click(page, "#measure");
  await said(page, "#here", /^One layer, 16 tokens, measured just now on a GPU in software\. Choosing 12 .* computing all 4,095, and /);
  assert.equal(await page.$$eval("#here-bars > *", (bars) => bars.length > 0), true);
  assert.equal(await page.$("#here b"), null, "times of a GPU in software are no headline");
  assert.deepEqual(page.errors, []);
  await page.close();
});

test("a model that does not arrive, or arrives damaged, is said so, and the way on works", async () => {
  const page = await open(browser, server.address);
  await state(page, "seeded");
  await until(page, () => !document.getElementById("load").hidden);
  const weights = "/model/model.safetensors.gz";

  server.faults.set(weights, (response) => response.writeHead(404).end());
  await click(page, "#load");
  let shown = await failure(page);
  assert.match(shown.title, /did not arrive/);
  assert.match(shown.words, /model\.safetensors: the server answered 404/);
  await shot(page, "failure-download");

  server.faults.set(weights, (response, file) => {
    const content = readFileSync(file);
    response.writeHead(200, { "content-length": content.length });
    response.write(content.subarray(0, content.length / 2), () => response.destroy());
  });
  await click(page, "#failure-action");
  shown = await failure(page);
  assert.match(shown.words, /the connection broke after \d+ bytes/);

  server.faults.set(weights, (response, file) => {
    const content = readFileSync(file);
    content[content.length >> 1] ^= 0x10;
    response.writeHead(200, { "content-length": content.length }).end(content);
  });
  await click(page, "#failure-action");
  shown = await failure(page);
  assert.match(shown.title, /arrived damaged/);
  assert.match(shown.words, /model\.safetensors/);
  await shot(page, "failure-corrupt");

  server.faults.clear();
  await click(page, "#failure-action");
  await state(page, "ready");
  assert.match(await text(page, "#cache"), /^3\d MB$/);
  ready = page;
  // The console names the failed requests; nothing else may be there.
  assert.deepEqual(page.errors.filter((error) => !/Failed to load resource/.test(error)), []);
  page.errors.length = 0;
});

test("vectors are the native engine's, and so are those that come with the page", async () => {
  const here = await vectors(ready, sentences);
  const native = (texts) => withLines(texts, (file) => jsonLines(onModel("embed", "--json", "--device", "cpu", "--in", file)).map(({ embedding }) => embedding));
  const there = native(sentences);
  assert.equal(there.length, sentences.length);
  const cosines = sentences.map((_, i) => cosine(here[i], there[i]));
  console.log(`smallest cosine of ${cosines.length}: ${Math.min(...cosines)}`);
  cosines.forEach((value, i) => assert.ok(value > 0.9999, `${sentences[i]}: ${value}`));

  const { passages, questions, values } = await ready.evaluate(async () => ({
    passages: cmm.passages.map(({ text }) => text),
    questions: [...document.querySelectorAll("#examples button")].map((button) => button.textContent),
    values: [...new Float32Array(await (await fetch("corpus/vectors.f32")).arrayBuffer())],
  }));
  const texts = [...passages, ...questions];
  const width = values.length / texts.length;
  const difference = worst(texts.map((_, i) => values.slice(i * width, (i + 1) * width)), native(texts));
  console.log(`largest difference of ${texts.length} vectors that come with the page: ${difference}`);
  assert.ok(difference < 1e-4);
});

test("what the page searches is the text that the README searches", async () => {
  const corpus = await ready.evaluate(async () => (await import("./corpus.js")).corpus.map(({ text }) => text));
  assert.deepEqual(corpus, readFileSync(join(root, "examples/declaration.txt"), "utf8").trimEnd().split("\n"));
});

test("a search finds what the native engine finds", async () => {
  await view(ready, "ask");
  const question = "is slavery forbidden";
  await ask(ready, question);
  await said(ready, "#ask-cost", /from the question to this list, on a GPU in software.*12 of 4,095/);
  const shown = await found(ready);
  const lines = await ready.evaluate(() => cmm.passages.map(({ text }) => text));
  const wanted = withLines(lines, (file) => jsonLines(onModel("search", question, "--in", file, "--top", "5", "--json")));
  const near = wanted.filter(({ similarity }) => similarity >= 0.25);
  assert.ok(near.length > 0);
  assert.equal(shown.length, near.length);
  near.forEach(({ text, similarity }, i) => {
    assert.equal(shown[i][0], text);
    assert.ok(Math.abs(shown[i][1] - similarity) < 1e-3);
  });
  assert.equal(await ready.$$eval("#fields canvas", (all) => all.length), 6);
});

test("the visitor's own text is searched, pasted or from a file, within limits, and the page's own comes back", async () => {
  const paste = (words) => ready.$eval("#own-text", (area, words) => (area.value = words), words);
  const refused = async (pattern) => (await click(ready, "#use-own"), said(ready, "#own-note", pattern));
  await click(ready, "#own summary");
  await paste(" \n\n");
  await refused(/no text yet/);
  await paste("a\n".repeat(2001));
  await refused(/^This text has 2,001 lines; this page searches 2,000/);
  await paste("long ".repeat(60_000));
  await refused(/^This text has 293 KB; this page searches 256 KB/);

  await paste("The cat sleeps.\n\nStocks fell on Tuesday.\n");
  await click(ready, "#use-own");
  await said(ready, "#corpus-size", /^2 passages/);
  await ask(ready, "a pet takes a nap");
  await said(ready, "#found li:first-child", /The cat sleeps\.line 1/);

  const input = await ready.$("#own-file");
  const folder = mkdtempSync(join(tmpdir(), "cmm-"));
  writeFileSync(join(folder, "text.txt"), `Bread is baked.\n${"The moon pulls the sea. ".repeat(20)}`);
  writeFileSync(join(folder, "picture.txt"), Buffer.from([0x89, 0x50, 0, 0xff]));
  await input.uploadFile(join(folder, "picture.txt"));
  await said(ready, "#own-note", /^picture\.txt is not plain text/);
  await input.uploadFile(join(folder, "text.txt"));
  await said(ready, "#corpus-size", /^21 passages/);
  rmSync(folder, { recursive: true });
  await click(ready, "#copy-link");
  await said(ready, "#copied", /Whoever opens it sees the Declaration/);

  // Of two texts the later one is searched, though the former is still being embedded.
  await paste("The tide comes in.\n".repeat(400));
  await click(ready, "#use-own");
  await click(ready, "#use-shipped");
  await said(ready, "#corpus-size", /^57 passages, whose vectors came with the page/);
  await until(ready, () => document.getElementById("loading").hidden);
  await ask(ready, "is torture allowed");
  await said(ready, "#found li:first-child .text", /subjected to torture/);
  assert.deepEqual(await ready.evaluate(() => [cmm.passages.length, cmm.indexed.passages]), [57, 57]);
  // To come back to a question asks nothing anew.
  await ready.evaluate(() => {
    const { engine } = cmm;
    globalThis.asked = [];
    engine.ask = (question, top) => (asked.push(question), Object.getPrototypeOf(engine).ask.call(engine, question, top));
  });
  await view(ready, "path");
  await view(ready, "ask");
  await ask(ready, "can I join a union");
  assert.ok(await ready.evaluate(() => !asked.includes("is torture allowed") && asked.includes("can I join a union")));
  await click(ready, "#own summary");
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
  await until(ready, (before) => document.getElementById("steps").textContent !== before, first.flat().join(""));
  await until(ready, (before) => document.querySelector("#steps td:nth-child(3)").textContent !== before, first[0][2]);
  await assertWalk(ready);
  // The path is the native engine's.
  const inspected = JSON.parse(onModel("inspect", "--text", "The owl hunts", "--json"));
  const nodes = (await steps(ready)).map((row) => Number(row[1]));
  assert.deepEqual(nodes, inspected.layers[5].tokens[3][1][0]);
  // Pointing tells of a neuron: the middle is the root, which every token of the corpus engaged.
  await ready.$eval("#rings", (rings) => {
    const { left, top, width, height } = rings.getBoundingClientRect();
    rings.dispatchEvent(new PointerEvent("pointermove", { clientX: left + width / 2, clientY: top + height / 2 }));
  });
  const tokens = await ready.evaluate(() => cmm.indexed.tokens.toLocaleString("en"));
  await said(ready, "#pointed", new RegExp(`^Neuron 0: ${tokens} of the Declaration's tokens`));
});

test("a race runs on the model's own layer, against each dense one, its bars to one scale", async () => {
  await view(ready, "race");
  await said(ready, "#race-layer", /Layer 4 of FastMiniLM, 384 wide/);
  await raceOf(ready, 0, "each");
  const [fixed, own, all] = ["12 fixed ones", "MiniLM's own 1,536", "all 4,095"].map((what) => `${BESIDE} computing ${what}`);
  assert.match(await text(ready, "#race-verdict"), new RegExp(`^For 1 token, choosing 12 neurons ${fixed}, ${own}, and ${all}\\.$`));
  assert.match(await text(ready, "#race-checked"), /^All lanes agree/);
  assert.deepEqual(await assertToScale(ready, "#race-lanes"), ["12 chosen of 4,095", "12 fixed neurons", "MiniLM's own 1,536", "all 4,095"]);
  await raceOf(ready, 2, "equal");
  assert.equal(await ready.$$eval("#race-chart path", (all) => all.length), 4);

  // Of a lane that is wrong no time is praised.
  await ready.evaluate(() => {
    const { race } = cmm.engine;
    cmm.engine.race = async (...given) => {
      const result = await race(...given);
      result.fff.check.passed = false;
      cmm.engine.race = race;
      return result;
    };
  });
  await raceOf(ready, 2, "equal");
  assert.equal(await text(ready, "#race-verdict"), "For 4 tokens, 1 of 2 lanes gave a wrong result: their times say nothing.");
  assert.equal(await ready.$$eval("#race-lanes li", (all) => all.length), 0);
});

test("a size from which computing all is faster is named only where every larger one agrees", async () => {
  const said = await ready.evaluate(async () => {
    const { overtakes } = await import("./race.js");
    const row = (tokens, time) => ({ tokens, seconds: { median: time, min: time, max: time } });
    // Of each race the time of what is chosen, and of all.
    const of = (...times) => overtakes(times.map(([chosen, all], i) => ({ fff: row(4 ** i, chosen), dense: [row(4 ** i, all)] })));
    return [of([1, 9], [1, 2], [3, 1], [9, 1]), of([1, 9], [3, 1], [1, 2]), of([1, 9], [1, 2]), of([1, 9], [1, 1.1]), of([0, 0], [2, 1])];
  });
  assert.deepEqual(said, [16, null, "never", null, 4]);
});

test("a time that a browser's clock rounds to nothing is left out of a chart", async () => {
  const drawn = await ready.evaluate(async () => {
    const { chart } = await import("./chart.js");
    const box = document.createElement("div");
    document.body.append(box);
    // Once the grid below a time of 0 had no end, and the page stood still for good.
    chart(box, [{ name: "FFF", style: "fff", points: [{ x: 1, y: 0 }, { x: 4, y: 1e-5 }, { x: 16, y: 1e-3 }] }], "");
    const dots = box.querySelectorAll("circle").length;
    box.remove();
    return dots;
  });
  assert.equal(drawn, 2);
});

test("a link shows what its sender saw, and the page runs nothing but its own program", async () => {
  await until(ready, () => location.hash === "#race?tokens=4&against=equal");
  await ready.evaluate(() => (location.hash = "#race?tokens=64&against=all&text=owl"));
  await until(ready, () => document.getElementById("race-size").textContent === "64");
  assert.deepEqual(await ready.$$eval("#race-text, #race-against", (all) => all.map(({ value }) => value)), ["owl", "all"]);
  await ready.evaluate(() => (location.hash = "#path?text=bread&layer=3"));
  await said(ready, "#path-tokens", /^\[CLS\]bread\[SEP\]$/);
  assert.equal(await ready.$eval("#path-layer", ({ value }) => value), "2");
  // What makes no sense is what it begins with, in the address too.
  for (const layer of ["-7.5", "99"]) {
    await ready.evaluate((layer) => (location.hash = `#path?layer=${layer}`), layer);
    await until(ready, () => location.hash === "#path");
    assert.equal(await ready.$eval("#path-layer", ({ value }) => value), "0");
  }
  await said(ready, "#path-tokens", /hunts/);
  await ready.evaluate(() => (location.hash = `#ask?q=${"a".repeat(600)}`));
  await until(ready, () => document.getElementById("query").value === "a".repeat(500));
  await ready.evaluate(() => (location.hash = "#race?tokens=many&against=nobody"));
  await until(ready, () => document.getElementById("race-against").value === "each");
  assert.equal(await text(ready, "#race-size"), "16");

  const elsewhere = await serve(dist, { cors: true });
  const ran = await ready.evaluate(async (address) => {
    const script = document.createElement("script");
    script.textContent = "globalThis.foreign = true";
    document.head.append(script);
    const arrived = await fetch(`${address}style.css`).then(() => true, () => false);
    return { script: globalThis.foreign === true, arrived };
  }, elsewhere.address);
  elsewhere.close();
  assert.deepEqual(ran, { script: false, arrived: false });
  assert.deepEqual(elsewhere.asked, []);
  for (const refused of [/script-src/, /connect-src/]) assert.ok(ready.errors.some((error) => refused.test(error)), `${refused}: ${ready.errors.join("\n")}`);
  assert.deepEqual(ready.errors.filter((error) => !/Content Security Policy/.test(error)), []);
  ready.errors.length = 0;
});

test("the benchmark's result is the native command's, both ways", async () => {
  const context = browser.defaultBrowserContext();
  await context.overridePermissions(server.address, ["clipboard-read", "clipboard-sanitized-write"]);
  await view(ready, "benchmark");
  await ready.bringToFront();
  await click(ready, "#bench-run");
  await said(ready, "#bench-state", /All 6 rows agree with the f64 reference/);
  const sentence = `^FFF 1x11 \\(one tree; a token computes 12 of 4,095 neurons\\) ${BESIDE} dense 4095 for 1 token, and ${BESIDE} dense 4095 for 64 tokens`;
  assert.match(await text(ready, "#bench-verdict"), new RegExp(`${sentence}\\. The dense layer computes 341 times as many neurons`));
  await click(ready, "#bench-copy");
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
  await until(ready, () => document.querySelectorAll("#bench-compared tr").length === 7);
  assert.match(cmm("bench", "compare", mine, native), /dense 4095/);

  writeFileSync(native, "{}");
  await input.uploadFile(native);
  await said(ready, "#bench-imported", /native\.json is no result of cmm bench/);
  // The former file's rows are not shown as this one's.
  await until(ready, () => document.getElementById("bench-compared").childElementCount === 0);
  rmSync(folder, { recursive: true });
});

test("the browser's own compiler takes every kernel it may get", async () => {
  await click(ready, "footer summary");
  await click(ready, "#compile");
  console.log(await said(ready, "#compiled", /^all \d+ accepted by this browser's compiler$/));
});

test("a lost device is said so, and the page starts again, from its cache", async () => {
  assert.deepEqual(ready.errors, []);
  await click(ready, "#lose");
  const shown = await failure(ready);
  assert.match(shown.title, /taken away/);
  await shot(ready, "failure-lost");
  server.asked.length = 0;
  await click(ready, "#failure-action");
  await state(ready, "ready");
  assert.ok(!server.asked.some((path) => path.endsWith(".gz")), "nothing is fetched again");
  await view(ready, "ask");
  await ask(ready, "is torture allowed");
  await said(ready, "#found li:first-child .text", /subjected to torture/);
});

test("typing, switching and changing batches leave no error and no memory behind", async () => {
  const count = Number(process.env.CMM_MONKEY_ACTIONS ?? 60);
  ready.errors.length = 0;
  const words = ["owl", "bread rises", "the sea, the sea", "?", "", "a b c d e f g h", "électricité"];
  // The same choices every time.
  let seed = 7;
  const pick = (from) => from[(seed = (seed * 16807) % 2147483647) % from.length];
  const memory = async () => {
    await view(ready, "ask");
    await ask(ready, "can I join a union");
    await said(ready, "#found li:first-child .text", /trade unions/);
    return Number.parseFloat(await text(ready, "#memory"));
  };
  const quiet = () => until(ready, () => !document.getElementById("race-go").disabled);
  const actions = [
    async () => (await view(ready, "ask"), await type(ready, "#query", pick(words))),
    async () => (await view(ready, "path"), await type(ready, "#path-text", pick(words))),
    async () => (await view(ready, "path"), await ready.select("#path-layer", pick(["0", "1", "2", "3", "4", "5"]))),
    async () => {
      await view(ready, "race");
      await quiet();
      await ready.select("#race-against", pick(["equal", "minilm"]));
      await ready.$eval("#race-tokens", (slider, value) => ((slider.value = value), slider.dispatchEvent(new Event("input"))), pick(["0", "2", "4"]));
      await click(ready, "#race-go");
    },
    async () => view(ready, pick(["ask", "path", "race", "benchmark"])),
  ];
  for (const action of actions) await action();
  await quiet();
  const begun = await memory();
  for (let done = 0; done < count; done++) await pick(actions)();
  await view(ready, "race");
  await quiet();
  const ended = await memory();
  console.log(`${count} actions: ${begun} MB of GPU memory before, ${ended} MB after`);
  assert.ok(ended <= begun + 1, `${begun} MB before, ${ended} MB after`);
  assert.ok(await ready.$eval("#failure", (box) => box.hidden));
  assert.deepEqual(ready.errors, []);
});

test("every view in both themes and at a phone's width fits, keeps nobody out, and is pictured", async () => {
  await view(ready, "race");
  for (const [power, against] of [[2, "equal"], [0, "each"]]) await raceOf(ready, power, against);
  const question = "can I join a union";
  await view(ready, "ask");
  await ask(ready, question);
  /** Waits until a view shows what it is for. */
  const filled = {
    ask: async () => (await answered(ready, question), await drawn(ready, "#fields canvas", 6)),
    path: async () => (await until(ready, () => document.querySelectorAll("#steps tr").length === 12), await drawn(ready, "#rings", 1)),
    race: () => until(ready, () => document.querySelectorAll("#race-lanes li").length === 4 && document.querySelectorAll("#race-chart path").length === 4),
    benchmark: () => until(ready, () => document.querySelectorAll("#bench-table tbody tr").length === 6 && document.querySelector("#bench-chart path")),
  };
  for (const [name, width] of [["desktop", 1200], ["phone", 390]]) {
    await ready.setViewport({ width, height: 900, deviceScaleFactor: name === "phone" ? 2 : 1 });
    for (const scheme of ["light", "dark"]) {
      await ready.emulateMediaFeatures([
        { name: "prefers-color-scheme", value: scheme },
        { name: "prefers-reduced-motion", value: "reduce" },
      ]);
      for (const which of ["ask", "path", "race", "benchmark"]) {
        await view(ready, which);
        await until(ready, (which) => !document.getElementById(which).hidden, which);
        await filled[which]();
        const [wide, seen] = await ready.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
        assert.ok(wide <= seen, `${which} is ${wide} wide in a window of ${seen}`);
        if (name === "desktop") assert.deepEqual(await barriers(ready), [], `${which}, ${scheme}`);
        await shot(ready, `${which}-${scheme}-${name}`);
      }
    }
  }
});

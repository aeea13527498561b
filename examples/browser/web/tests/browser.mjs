// The built page in a browser, and what every test asks of it.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cmm, root } from "../../../../web/tests/support/native.mjs";

export { firefox, launchChromium, launchFirefox } from "../../../../web/tests/support/browsers.mjs";
export { cmm, cosine, jsonLines, root, worst } from "../../../../web/tests/support/native.mjs";
export { sentences } from "../../../../web/tests/support/sentences.mjs";
export { serve } from "../../../../web/tests/support/server.mjs";

export const dist = join(dirname(fileURLToPath(import.meta.url)), "../../dist");
const shots = process.env.CMM_SCREENSHOTS ?? join(root, "target/screenshots");

/** A page of a browser, on the GPU in software unless it is told otherwise; `errors` gathers what its console calls one. */
export async function open(browser, address, { width = 1200, height = 900, scheme = "dark", device = "webgpu" } = {}) {
  const page = await browser.newPage();
  const errors = [];
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  page.on("pageerror", (error) => errors.push(String(error)));
  await page.setViewport({ width, height });
  if (scheme) await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]).catch(() => undefined);
  const url = new URL(address);
  if (device !== "auto") url.searchParams.set("device", device);
  await page.goto(url.href);
  return Object.assign(page, { errors });
}

/**
 * Waits until a condition holds in the page. It asks again and again from here: puppeteer's own waiting asks at each frame that the browser draws, which
 * where a busy machine draws none is never, in one call that may outlast the protocol's timeout.
 */
export async function until(page, condition, ...given) {
  for (const end = Date.now() + 180_000; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 50))) {
    // While the page is being loaded anew there is nothing to ask.
    if (await page.evaluate(condition, ...given).catch(() => false)) return;
  }
  throw new Error(`not within 180 s: ${condition} of ${JSON.stringify(given)}; the page is ${await page.$eval("body", (body) => body.innerText)}`);
}

/** Waits until the page says so: `opening`, `seeded`, `ready`, `failed`. */
export const state = (page, wanted) => until(page, (wanted) => document.body.dataset.state === wanted, wanted);

export const text = (page, selector) => page.$eval(selector, (element) => element.textContent.trim());

/** Waits until an element's text matches. */
export async function said(page, selector, { source, flags }) {
  const matches = (selector, source, flags) => new RegExp(source, flags).test(document.querySelector(selector)?.textContent ?? "");
  await until(page, matches, selector, source, flags);
  return text(page, selector);
}

/**
 * Presses what a visitor sees and reaches. Puppeteer's click waits until an IntersectionObserver tells that the element is in view, which where the browser
 * draws no frame is never.
 */
export const click = (page, selector) =>
  page.$eval(
    selector,
    (element, selector) => {
      element.scrollIntoView({ block: "center", behavior: "instant" });
      const [{ left, top, width, height } = {}] = element.getClientRects();
      const hit = document.elementFromPoint(left + width / 2, top + height / 2);
      if (element.disabled || !hit || !element.contains(hit)) throw new Error(`${selector} cannot be pressed: ${hit?.outerHTML.slice(0, 200)} is there`);
      element.focus();
      element.click();
    },
    selector,
  );

/** Replaces what an input holds, by the keyboard. */
export async function type(page, selector, words) {
  await page.$eval(selector, (input) => (input.focus(), input.select()));
  await page.keyboard.press("Backspace");
  await page.keyboard.type(words);
}

/** Waits until the passages shown are the answer to this question, not to the letters typed so far. */
export const answered = (page, question) =>
  until(page, (label) => document.getElementById("found").getAttribute("aria-label") === label, `What is nearest to: ${question}`);

/** Types a question into Ask and waits for its answer. */
export async function ask(page, question) {
  await type(page, "#query", question);
  await answered(page, question);
}

export const view = (page, name) => click(page, `nav a[href="#${name}"]`);

/** The failure that the page shows. */
export async function failure(page) {
  await until(page, () => !document.getElementById("failure").hidden);
  return { title: await text(page, "#failure-title"), words: await text(page, "#failure-words") };
}

export async function shot(page, name) {
  mkdirSync(shots, { recursive: true });
  // A tab behind another one may draw no frame.
  await page.bringToFront();
  await page.screenshot({ path: join(shots, `${name}.png`), fullPage: true });
}

const axe = readFileSync(join(root, "web/node_modules/axe-core/axe.min.js"), "utf8");

/** What keeps people from using the page, by the rules of axe-core: those of WCAG AA and beyond that are broken seriously. */
export async function barriers(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run());
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join("; ")}`);
}

/** A regular expression of how the page says what one time is beside another. */
export const BESIDE = "(?:is [\\d.,]+ times as fast as|takes (?:about|[\\d.,]+ times) as long as|is too short for this browser's clock beside)";

const SECONDS = { s: 1, ms: 1e-3, µs: 1e-6 };

/** Holds every bar's length against the time printed beside it; returns the bars' names. */
export async function assertToScale(page, list) {
  const rows = await page.$$eval(`${list} li`, (rows) =>
    rows.map((row) => [row.querySelector("span").textContent, Number(row.querySelector("i").style.getPropertyValue("--share")), row.querySelector("b").textContent]),
  );
  const times = rows.map(([, , printed]) => Number.parseFloat(printed) * SECONDS[printed.split(" ")[1]]);
  const longest = Math.max(...times);
  assert.ok(longest > 0, "at least one lane is long enough for the clock");
  // Times are printed with three digits.
  rows.forEach(([name, share], i) => assert.ok(Math.abs(share - times[i] / longest) < 0.012, `${name}: ${share} for ${times[i]} of ${longest}`));
  return rows.map(([name]) => name);
}

/** The native engine on the page's model. */
export const onModel = (...args) => cmm(...args, "--model", "models/fastminilm-1x11");

/** Vectors of the page's engine. */
export const vectors = (page, texts) =>
  page.evaluate(async (texts) => {
    const { data, dims } = await cmm.engine.embed(texts);
    return texts.map((_, i) => [...data.subarray(i * dims[1], (i + 1) * dims[1])]);
  }, texts);

// The built page in a browser, and what every test asks of it.

import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cmm, root } from "../../../../web/tests/support/native.mjs";

export { firefox, launchChromium, launchFirefox } from "../../../../web/tests/support/browsers.mjs";
export { cmm, cosine, jsonLines } from "../../../../web/tests/support/native.mjs";
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

/** Waits until the page says so: `opening`, `seeded`, `ready`, `failed`. */
export const state = (page, wanted) =>
  page.waitForFunction((wanted) => document.body.dataset.state === wanted, { timeout: 300_000 }, wanted);

export const text = (page, selector) => page.$eval(selector, (element) => element.textContent.trim());

/** Waits until an element's text matches. */
export async function said(page, selector, pattern, timeout = 120_000) {
  await page.waitForFunction(
    (selector, source) => new RegExp(source).test(document.querySelector(selector)?.textContent ?? ""),
    { timeout },
    selector,
    pattern.source,
  );
  return text(page, selector);
}

/** Replaces what an input holds, by the keyboard. */
export async function type(page, selector, words) {
  await page.click(selector, { count: 3 });
  await page.keyboard.press("Backspace");
  await page.type(selector, words);
}

/** Types a question into Ask and waits until the lines shown are its answer, not that of the letters typed so far. */
export async function ask(page, question) {
  await type(page, "#query", question);
  await page.waitForSelector(`#found[aria-label=${JSON.stringify(`The lines nearest to: ${question}`)}]`, { timeout: 120_000 });
}

export const view = async (page, name) => page.click(`nav a[href="#${name}"]`);

/** The failure that the page shows. */
export async function failure(page) {
  await page.waitForSelector("#failure:not([hidden])", { timeout: 300_000 });
  return { title: await text(page, "#failure-title"), words: await text(page, "#failure-words") };
}

export async function shot(page, name) {
  mkdirSync(shots, { recursive: true });
  await page.screenshot({ path: join(shots, `${name}.png`), fullPage: true });
}

/** The native engine on the page's model. */
export const onModel = (...args) => cmm(...args, "--model", "models/fastminilm-1x11");

/** Vectors of the page's engine. */
export const vectors = (page, texts) =>
  page.evaluate(async (texts) => {
    const { data, dims } = await cmm.engine.embed(texts);
    return texts.map((_, i) => [...data.subarray(i * dims[1], (i + 1) * dims[1])]);
  }, texts);

// A browser on the built page, and what every test asks of it.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import puppeteer from "puppeteer-core";

const here = dirname(fileURLToPath(import.meta.url));
export const root = join(here, "../../../..");
export const dist = join(here, "../../dist");
const shots = process.env.CMM_SCREENSHOTS ?? join(root, "target/screenshots");

/** The first of these programs that is there. */
const program = (variable, names) => process.env[variable] ?? names.find(existsSync);
const chromium = program("CHROMIUM", ["/usr/bin/chromium", "/usr/bin/google-chrome"]);
export const firefox = program("FIREFOX", ["/usr/bin/firefox", "/usr/bin/firefox-esr"]);

/** Chromium with SwiftShader for its GPU. Nothing but this machine can be reached; `demo.test` is this machine too, though not trusted. */
export function launchChromium({ webgpu = true } = {}) {
  if (!chromium) throw new Error("no Chromium: install it, or name it with CHROMIUM");
  return puppeteer.launch({
    executablePath: chromium,
    args: [
      ...(webgpu ? ["--enable-unsafe-webgpu"] : []),
      "--no-sandbox",
      "--disable-dev-shm-usage",
      "--host-resolver-rules=MAP demo.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ],
    protocolTimeout: 600_000,
  });
}

export function launchFirefox() {
  return puppeteer.launch({
    browser: "firefox",
    executablePath: firefox,
    extraPrefsFirefox: { "dom.webgpu.enabled": true, "gfx.webgpu.ignore-blocklist": true, "dom.webgpu.workers.enabled": true },
    protocolTimeout: 600_000,
  });
}

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

/** The native engine. */
export function cmm(...args) {
  const built = process.env.CMM ?? ["release", "debug"].map((kind) => join(root, "target", kind, "cmm")).find(existsSync);
  assert.ok(built, "no native cmm: cargo build, or name it with CMM");
  return execFileSync(built, args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"], maxBuffer: 1 << 26 });
}

/** The same, on the page's model. */
export const onModel = (...args) => cmm(...args, "--model", "models/fastminilm-1x11");

export const jsonLines = (out) => out.trim().split("\n").map((line) => JSON.parse(line));

export function cosine(a, b) {
  const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

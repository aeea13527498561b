// Starts the browsers of this machine.

import { existsSync } from "node:fs";
import puppeteer from "puppeteer-core";

/** Returns the first of these programs that exists. */
const program = (variable, names) => process.env[variable] ?? names.find(existsSync);
const chromium = program("CHROMIUM", ["/usr/bin/chromium", "/usr/bin/google-chrome"]);
export const firefox = program("FIREFOX", ["/usr/bin/firefox", "/usr/bin/firefox-esr"]);

/**
 * Starts Chromium with SwiftShader as its GPU. It can reach nothing but this machine; `demo.test`
 * is this machine too, but not trusted.
 */
export function launchChromium({ webgpu = true, args = [] } = {}) {
  if (!chromium) throw new Error("no Chromium: install it, or name it with CHROMIUM");
  return puppeteer.launch({
    executablePath: chromium,
    args: [
      ...(webgpu ? ["--enable-unsafe-webgpu"] : []),
      "--no-sandbox",
      "--disable-dev-shm-usage",
      "--host-resolver-rules=MAP demo.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
      ...args,
    ],
    // No call of a test takes this long unless it hangs.
    protocolTimeout: 120_000,
  });
}

export function launchFirefox() {
  return puppeteer.launch({
    browser: "firefox",
    executablePath: firefox,
    extraPrefsFirefox: { "dom.webgpu.enabled": true, "gfx.webgpu.ignore-blocklist": true, "dom.webgpu.workers.enabled": true },
    // No call of a test takes this long unless it hangs.
    protocolTimeout: 120_000,
  });
}

// The browsers of this machine.

import { existsSync } from "node:fs";
import puppeteer from "puppeteer-core";

/** The first of these programs that is there. */
const program = (variable, names) => process.env[variable] ?? names.find(existsSync);
const chromium = program("CHROMIUM", ["/usr/bin/chromium", "/usr/bin/google-chrome"]);
export const firefox = program("FIREFOX", ["/usr/bin/firefox", "/usr/bin/firefox-esr"]);

/** Chromium with SwiftShader for its GPU. Nothing but this machine can be reached; `demo.test` is this machine too, though not trusted. */
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
    // Nothing that a test asks of a page in one call takes as long: what does hangs.
    protocolTimeout: 120_000,
  });
}

export function launchFirefox() {
  return puppeteer.launch({
    browser: "firefox",
    executablePath: firefox,
    extraPrefsFirefox: { "dom.webgpu.enabled": true, "gfx.webgpu.ignore-blocklist": true, "dom.webgpu.workers.enabled": true },
    // Nothing that a test asks of a page in one call takes as long: what does hangs.
    protocolTimeout: 120_000,
  });
}

/** The package in a browser. */

import { startInBrowser } from "./start-in-browser.js";
import { setPlatform } from "./platform.js";

setPlatform(startInBrowser);

export * from "./exports.js";

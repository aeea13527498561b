/** The package in Node.js. */

import { setPlatform } from "./platform.js";
import { startInNode } from "./start-in-node.js";

setPlatform(startInNode);

export * from "./exports.js";

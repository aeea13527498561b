/** The package's worker in a browser. */

import initialise, { Engine, sha256 } from "../pkg/cmm_web.js";
import { browser, browserPort } from "./in-browser.js";
import { startSession } from "./session.js";

startSession(browserPort, browser, { initialise, Engine, sha256 });

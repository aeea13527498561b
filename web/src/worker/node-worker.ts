/** The package's worker in Node.js. */

import { readFile } from "node:fs/promises";
import initialise, { Engine, sha256 } from "../pkg/cmm_web.js";
import { node, nodePort } from "./in-node.js";
import { startSession } from "./session.js";

const program = async () => ({ module_or_path: await readFile(new URL("../pkg/cmm_web_bg.wasm", import.meta.url)) });
startSession(nodePort, node, { initialise: async () => initialise(await program()), Engine, sha256 });

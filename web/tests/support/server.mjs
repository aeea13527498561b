// A static web server, which can be told to misbehave.

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

const TYPES = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
  ".wasm": "application/wasm",
};

/**
 * Serves a folder, and others below paths: `{ "/model/": FOLDER }`. `faults.get(path)` may be a
 * function that answers instead. With `cors`, pages from elsewhere may ask too.
 */
export async function serve(folder, { mounts = {}, cors = false } = {}) {
  const faults = new Map();
  const asked = [];
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://localhost").pathname));
    asked.push(path);
    const mount = Object.keys(mounts).find((mount) => path.startsWith(mount));
    const [base, below] = mount ? [mounts[mount], path.slice(mount.length)] : [folder, path];
    const file = join(base, below === "" || below.endsWith("/") ? `${below}index.html` : below);
    const fault = faults.get(path);
    if (fault) return fault(response, file);
    const found = await stat(file).catch(() => null);
    if (!found?.isFile()) return response.writeHead(404).end("not found");
    response.writeHead(200, {
      "content-type": TYPES[extname(file)] ?? "application/octet-stream",
      "content-length": found.size,
      ...(cors ? { "access-control-allow-origin": "*" } : {}),
    });
    createReadStream(file).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { address: `http://127.0.0.1:${server.address().port}/`, faults, asked, close: () => server.close() };
}

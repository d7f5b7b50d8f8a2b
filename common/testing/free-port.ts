import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";

/** Below the ports that the system gives to outgoing connections, which would take one between the look and the use. */
const LOWEST = 20_000;
const HIGHEST = 32_000;

/** A port, the first of `span` in a row, that was free on every address just now. */
export async function freePort(span = 1): Promise<number> {
  for (;;) {
    const first = randomInt(LOWEST, HIGHEST);
    const ports = Array.from({ length: span }, (_, i) => first + i);
    if ((await Promise.all(ports.map(isFree))).every(Boolean)) return first;
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    await once(server.listen(port, "0.0.0.0"), "listening");
    server.close();
    await once(server, "close");
    return true;
  } catch {
    return false;
  }
}

import { randomInt } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Server } from "node:net";

// P1: a port is outside the range that the kernel gives to outgoing connections.
// P2: no two calls answer the same port, in this process or in another one that runs now: a claim of it is held until this process ends.
// P3: a port is free on every address, of IPv4 and IPv6, when it is answered. A program that knows no claims may take it later: see `onFreePorts`.

/** Linux: from 32768 (P1). */
const LOWEST = 20_000;
const HIGHEST = 32_000;
/** The claim of a port is the UDP port this far below it, on loopback, which holds up nothing that listens on the port itself (P2). */
const CLAIM_BELOW = 12_000;
const ATTEMPTS = 5;
/** Answers of a machine without IPv6, on which every port of it counts as free. */
const NO_IPV6 = ["EAFNOSUPPORT", "EADDRNOTAVAIL"];

/** A port, the first of `span` in a row, that no other caller gets (P2) and that was free just now (P3). */
export async function freePort(span = 1): Promise<number> {
  for (;;) {
    const first = randomInt(LOWEST, HIGHEST - span);
    const ports = Array.from({ length: span }, (_, i) => first + i);
    const claims = await Promise.all(ports.map(claim));
    if (!claims.includes(undefined) && (await Promise.all(ports.map(isFree))).every(Boolean)) return first;
    for (const held of claims) held?.close();
  }
}

/**
 * Starts what listens on ports that `start` chooses with `freePort`; starts it again, on others, where a program that knows
 * no claims took one in between.
 */
export async function onFreePorts<T>(start: () => Promise<T>): Promise<T> {
  for (let left = ATTEMPTS - 1; ; left--) {
    try {
      return await start();
    } catch (error) {
      if (left === 0 || !isPortTaken(error)) throw error;
    }
  }
}

/** The messages of the kernel, and of Docker: of its proxy, and of a port that another container has. */
const TAKEN = /EADDRINUSE|address already in use|port is already allocated/;

function isPortTaken(error: unknown): boolean {
  return error instanceof Error && (TAKEN.test(error.message) || isPortTaken(error.cause));
}

/** undefined: another call holds it. */
async function claim(port: number): Promise<Socket | undefined> {
  const socket = createSocket("udp4").unref();
  const failure = await failureOf(socket, () => socket.bind({ port: port - CLAIM_BELOW, address: "127.0.0.1", exclusive: true }));
  if (failure === undefined) return socket;
  if (failure === "EADDRINUSE") return undefined;
  throw new Error(`no port can be claimed: ${failure}`);
}

async function isFree(port: number): Promise<boolean> {
  for (const address of [{ host: "0.0.0.0" }, { host: "::", ipv6Only: true }]) {
    const server = createServer();
    const failure = await failureOf(server, () => server.listen({ ...address, port, exclusive: true }));
    if (failure === "EADDRINUSE") return false;
    if (failure !== undefined && !NO_IPV6.includes(failure)) throw new Error(`no port can be tried: ${failure}`);
    if (failure === undefined) await once(server.close(), "close");
  }
  return true;
}

/** Resolves with the code of the system that keeps a socket from its address; undefined: it has it. */
async function failureOf(socket: Socket | Server, bind: () => unknown): Promise<string | undefined> {
  const listening = once(socket, "listening");
  bind();
  try {
    await listening;
    return undefined;
  } catch (error) {
    if (error instanceof Error && "code" in error) return String(error.code);
    throw error;
  }
}

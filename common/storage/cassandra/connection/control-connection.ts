/**
 * The driver's control connection, by which it learns which nodes there are.
 *
 * In cassandra-driver 4.10 several refreshes of it run at a time where all nodes were away: it listens to a new connection twice, and each of the two starts a refresh
 * when that is lost. One sets to null what the other works with: that one rejects, where nothing handles it, and the process ends (NODEJS-681 in its tracker).
 *
 * 1. One refresh runs at a time. Requests for another one meanwhile get one more afterwards: a connection may be lost before the running one listens
 *    to it.
 * 2. A refresh that rejects is begun again after AGAIN_MS.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Client } from "cassandra-driver";
import { NebulaError } from "../../../errors/nebula-error.ts";

const AGAIN_MS = 1000;

/** `_refresh`: with hosts it is a further try within a refresh. */
export type ControlConnection = { _refresh: (hosts?: unknown) => Promise<void> };

/** The one of this driver. @throws NebulaError internal: the driver is another version, with other names */
export function controlConnectionOf(driver: Client): ControlConnection {
  const connection: unknown = Reflect.get(driver, "controlConnection");
  if (!isControlConnection(connection)) throw new NebulaError("internal", "cassandra-driver has no control connection that can be refreshed");
  return connection;
}

function isControlConnection(value: unknown): value is ControlConnection {
  return typeof value === "object" && value !== null && "_refresh" in value && typeof value._refresh === "function";
}

export function refreshOneAtATime(connection: ControlConnection): void {
  const refresh = connection._refresh.bind(connection);
  let running: Promise<void> | undefined;
  let isAskedAgain = false;
  const run = async () => {
    do {
      isAskedAgain = false;
      await refresh().catch(async () => {
        await delay(AGAIN_MS, undefined, { ref: false }); // 2
        isAskedAgain = true;
      });
    } while (isAskedAgain);
    running = undefined;
  };
  connection._refresh = (hosts) => {
    if (hosts !== undefined) return refresh(hosts);
    isAskedAgain = running !== undefined; // 1
    running ??= run();
    return running;
  };
}

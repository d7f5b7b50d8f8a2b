import { strict as assert } from "node:assert";
import { EventEmitter } from "node:events";
import { setImmediate as turn } from "node:timers/promises";
import { Client } from "cassandra-driver";
import { type ControlConnection, controlConnectionOf, refreshOneAtATime } from "./control-connection.ts";

/** The parts of a refresh, in the driver's own names. */
type Parts = { _refreshControlConnection: () => Promise<void>; _refreshHosts: () => Promise<void>; _registerToConnectionEvents: () => Promise<void> };

describe("the control connection of Cassandra's driver", () => {
  let driver: Client;
  let connection: ControlConnection;
  let refreshes: number;
  let failures: number;
  let atATime: number;
  let mostAtATime: number;
  beforeEach(() => {
    driver = new Client({ contactPoints: ["127.0.0.1:1"], localDataCenter: "datacenter1" });
    connection = controlConnectionOf(driver);
    [refreshes, failures, atATime, mostAtATime] = [0, 0, 0, 0];
    const parts: Parts = {
      _refreshControlConnection: async () => {
        refreshes++;
        await turn();
        Object.assign(connection, {
          connection: Object.assign(new EventEmitter(), { endpoint: "127.0.0.1:1" }),
          host: Object.assign(new EventEmitter(), { removeFromPool: () => {} }),
        });
      },
      _refreshHosts: async () => {
        mostAtATime = Math.max(mostAtATime, ++atATime);
        await turn();
        await turn();
        atATime--;
        if (failures-- > 0) throw new Error("the connection was cut");
      },
      _registerToConnectionEvents: async () => {},
    };
    Object.assign(connection, parts);
  });
  afterEach(async () => await driver.shutdown());

  it("refreshes that are asked for at once are made one after the other, and none rejects where connections are cut", async () => {
    refreshOneAtATime(connection);
    for (const cuts of [0, 1, 2, 3]) {
      failures = cuts;
      await Promise.all(Array.from({ length: 3 }, () => connection._refresh()));
    }
    assert.equal(mostAtATime, 1);
  });

  it("a refresh that is asked for while one runs is made after it, once", async () => {
    refreshOneAtATime(connection);
    const first = connection._refresh();
    await turn();
    const others = [connection._refresh(), connection._refresh()];
    await Promise.all([first, ...others]);
    assert.equal(refreshes, 2);
    await connection._refresh();
    assert.equal(refreshes, 3);
  });

  it("a refresh that rejects is begun again", async () => {
    Object.assign(connection, { _registerToConnectionEvents: () => Promise.reject(new Error("no answer")) });
    const parts: Pick<Parts, "_refreshControlConnection"> = {
      _refreshControlConnection: async () => {
        refreshes++;
        Object.assign(connection, { connection: refreshes > 1 ? Object.assign(new EventEmitter(), { endpoint: "127.0.0.1:1" }) : null });
        Object.assign(connection, { host: new EventEmitter() });
        if (refreshes > 1) Object.assign(connection, { _registerToConnectionEvents: async () => {} });
      },
    };
    Object.assign(connection, parts);
    refreshOneAtATime(connection);
    await connection._refresh();
    assert.equal(refreshes, 2);
  });
});

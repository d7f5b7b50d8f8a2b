import assert from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import { ConfigSchema } from "../../gen/nebula/v1/config_pb.ts";
import { LatestEvents, type WatchEvent } from "./events.ts";

const config = (etag: string): WatchEvent => ({ kind: "config", config: create(ConfigSchema), etag });
const connected: WatchEvent = { kind: "connected", address: "a:1" };
const disconnected: WatchEvent = { kind: "disconnected", reason: "cut", refused: undefined, retryInMs: 1 };

describe("events of a watch", () => {
  it("events of a watch are read in the order in which they were put, and end", async () => {
    const events = new LatestEvents();
    events.put(connected);
    events.put(config("1"));
    events.close();
    assert.deepEqual(await Array.fromAsync(events), [connected, config("1")]);
  });

  it("events of a watch keep the newest of each sort for a reader that is busy", async () => {
    const events = new LatestEvents();
    for (let n = 0; n < 1000; n++) events.put(config(String(n)));
    events.put(connected);
    events.put(disconnected);
    events.put({ kind: "no_such_group" });
    events.close();
    assert.deepEqual(await Array.fromAsync(events), [disconnected, { kind: "no_such_group" }]);
  });

  it("events of a watch wake a reader that waits", async () => {
    const events = new LatestEvents();
    const reader = events[Symbol.asyncIterator]();
    const first = reader.next();
    events.put(config("1"));
    assert.deepEqual((await first).value, config("1"));
    const end = reader.next();
    events.close();
    assert.equal((await end).done, true);
  });
});

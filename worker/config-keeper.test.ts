import { strict as assert } from "node:assert";
import { ConfigKeeper } from "./config-keeper.ts";
import { configOf } from "./testing/config-builder.ts";

describe("the configs that came", () => {
  it("are held with their etag, but not where an entry was ignored: then the server is to send it again", () => {
    const keeper = new ConfigKeeper(undefined, "", []);
    assert.equal(keeper.accept(configOf({ apps: { web: { revision: 5n } } }), "new").kind, "accepted");
    assert.equal(keeper.etag, "new");
    const stale = keeper.accept(configOf({ apps: { web: { revision: 3n } } }), "stale");
    assert.ok(stale.kind === "accepted");
    assert.equal(stale.config.apps[0]?.revision, 5n);
    assert.equal(keeper.etag, "");
  });

  it("of another cluster are followed from the start, and that is told; the very first is no change", () => {
    const keeper = new ConfigKeeper(undefined, "", []);
    const first = keeper.accept(configOf({ apps: { web: { revision: 5n } } }), "a");
    const other = keeper.accept(configOf({ cluster: { id: "c2", epoch: 1n }, apps: { web: { revision: 1n } } }), "b");
    assert.ok(first.kind === "accepted" && !first.clusterChanged);
    assert.ok(other.kind === "accepted" && other.clusterChanged);
    assert.equal(other.config.apps[0]?.revision, 1n);
  });

  it("add their cluster to those that the data folder followed, the newest last, and never more than 100", () => {
    const keeper = new ConfigKeeper(undefined, "", ["taken-over", "c1"]);
    keeper.accept(configOf({ cluster: { id: "c2", epoch: 1n } }), "a");
    keeper.accept(configOf({ cluster: { id: "c1", epoch: 1n } }), "b");
    assert.deepEqual(keeper.followed, ["taken-over", "c2", "c1"]);
    for (let n = 0; n < 200; n++) keeper.accept(configOf({ cluster: { id: `n${n}`, epoch: 1n } }), "c");
    assert.equal(keeper.followed.length, 100);
    assert.equal(keeper.followed.at(-1), "n199");
  });

  it("of a lower epoch are ignored, and change nothing", () => {
    const keeper = new ConfigKeeper(undefined, "", []);
    keeper.accept(configOf({ cluster: { id: "c1", epoch: 2n }, apps: { web: {} } }), "a");
    assert.equal(keeper.accept(configOf({ cluster: { id: "c1", epoch: 1n }, apps: { web: { revision: 9n } } }), "b").kind, "ignored");
    assert.equal(keeper.etag, "a");
  });
});

import { strict as assert } from "node:assert";
import { systemClock } from "../../../clock/system-clock.ts";
import { cutClient } from "../../../testing/cut-client.ts";
import { eventually } from "../../../testing/eventually.ts";
import { requireServer } from "../../../testing/servers.ts";
import { createTestKeyspace, type TestKeyspace } from "../../../testing/test-keyspace.ts";
import type { ConfigStore } from "../../config-store.ts";
import { describeConfigStore } from "../../contracts/config-store-contract.ts";
import { describeConfigStoreCuts } from "../../contracts/config-store-cuts-contract.ts";
import { openCassandraConfigStore } from "./config-store.ts";

describe("cassandra", () => {
  let keyspace: TestKeyspace;
  let store: ConfigStore;
  before(async function () {
    keyspace = await createTestKeyspace(await requireServer(this, "cassandra"));
    store = await open();
  });
  after(async () => await keyspace?.[Symbol.asyncDispose]());
  const open = () => openCassandraConfigStore({ client: keyspace.client, clock: systemClock });

  describeConfigStore("cassandra", async () => ({ store, reopen: () => open() }));

  it("marks of components that run on Cassandra are seen by other processes, and end by themselves", async () => {
    const other = await open();
    await store.markRunning({ id: "b", component: "reporter on host-2" }, 300);
    await store.markRunning({ id: "a", component: "manager on host-1" }, 300);
    assert.deepEqual(await other.runningComponents(), ["manager on host-1", "reporter on host-2"]);
    await store.markRunning({ id: "a", component: "manager on host-1" }, 1);
    await eventually(async () => assert.deepEqual(await other.runningComponents(), ["reporter on host-2"]), { everyMs: 200 });
    await other.markRunning({ id: "b", component: "reporter on host-2" }, 0);
    assert.deepEqual(await store.runningComponents(), []);
  });

  describeConfigStoreCuts("cassandra", async () => ({
    store,
    async cut(statements, answered) {
      const opening = 1; // it reads the cluster
      const client = cutClient(keyspace.client, opening + statements, answered || statements === 0);
      return { store: await openCassandraConfigStore({ client, clock: systemClock }), struck: client.struck };
    },
  }));
});

import { systemClock } from "../../../clock/system-clock.ts";
import { cutClient } from "../../../testing/cut-client.ts";
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

  describeConfigStoreCuts("cassandra", async () => ({
    store,
    async cut(statements, answered) {
      const opening = 1; // it reads the cluster
      const client = cutClient(keyspace.client, opening + statements, answered || statements === 0);
      return { store: await openCassandraConfigStore({ client, clock: systemClock }), struck: client.struck };
    },
  }));
});

import { systemClock } from "../../../clock/system-clock.ts";
import { requireServer } from "../../../testing/servers.ts";
import { createTestKeyspace, type TestKeyspace } from "../../../testing/test-keyspace.ts";
import { describeAccessStore } from "../../contracts/access-store-contract.ts";
import { createCassandraAccessStore } from "./access-store.ts";

describe("cassandra", () => {
  let keyspace: TestKeyspace;
  before(async function () {
    keyspace = await createTestKeyspace(await requireServer(this, "cassandra"));
  });
  after(async () => await keyspace?.[Symbol.asyncDispose]());

  const store = () => createCassandraAccessStore({ client: keyspace.client, clock: systemClock, auditRetentionMs: 86_400_000 });
  describeAccessStore("cassandra", async () => ({ store: store(), reopen: async () => store() }), { runs: 4 });
});

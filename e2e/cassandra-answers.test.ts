import { strict as assert } from "node:assert";
import { Registry } from "prom-client";
import { systemClock } from "../common/clock/system-clock.ts";
import { openCassandraConfigStore } from "../common/storage/cassandra/entities/config-store.ts";
import { openCassandra } from "../common/storage/cassandra/open-cassandra.ts";
import { appWrite, bodyOf, freshName } from "../common/storage/contracts/config-store-samples.ts";
import { eventually } from "../common/testing/eventually.ts";
import { readHistory } from "../common/testing/read-all.ts";
import { cassandraUrl, freshKeyspace, requireServer, type TestServer } from "../common/testing/servers.ts";
import { createTestKeyspace, openOptions, type TestKeyspace } from "../common/testing/test-keyspace.ts";
import { type Fault, FaultProxy } from "./harness/fault-proxy.ts";

describe("the config store, with a Cassandra whose connections break", function () {
  this.timeout(60_000);
  const name = freshKeyspace();
  let server: TestServer;
  let keyspace: TestKeyspace;
  before(async function () {
    server = await requireServer(this, "cassandra");
    keyspace = await createTestKeyspace(server, cassandraUrl(server, name));
  });
  after(async () => await keyspace?.[Symbol.asyncDispose]());

  /** A store behind a proxy; a request that holds `marker` is disturbed by `cut`, the first `times` times. */
  async function proxied(stack: AsyncDisposableStack, marker: string, times: number) {
    let left = times;
    const cuts = (sent: Buffer) => sent.includes(marker) && left-- > 0;
    const proxy = stack.use(await FaultProxy.start({ target: server.address, cuts }));
    const registry = new Registry();
    const client = stack.use(await openCassandra(openOptions(cassandraUrl({ address: proxy.address }, name), {}, registry)));
    const settled = async (as: string) => {
      const metric = await registry.getSingleMetric("nebula_store_unknown_outcomes_total")?.get();
      return metric?.values.find(({ labels }) => labels.settled === as)?.value ?? 0;
    };
    return { proxy, client, settled, store: await openCassandraConfigStore({ client, clock: systemClock }) };
  }

  it("the config store settles a write whose answers are cut: it is stored once, and known to be", async () => {
    await using stack = new AsyncDisposableStack();
    const web = { kind: "app", name: freshName("web") } as const;
    const { proxy, store, settled } = await proxied(stack, "a body whose answer is cut", 2);
    await proxy.set("cut");
    const body = Buffer.from("a body whose answer is cut");
    assert.deepEqual(await store.write(appWrite(web.name, 0n, { body })), { kind: "written" });
    assert.ok(proxy.struck.cut >= 1, "no answer was cut");
    assert.equal(await settled("written"), 1);
    assert.deepEqual(
      (await readHistory(store, web)).map((entity) => [entity.revision, bodyOf(entity)]),
      [[1n, String(body)]],
    );
  });

  it("the config store answers a write as unknown at the caller's deadline where no answer arrives, and stores it at most once", async () => {
    await using stack = new AsyncDisposableStack();
    const web = { kind: "app", name: freshName("web") } as const;
    const { proxy, store, settled } = await proxied(stack, "a body without any answer", Number.POSITIVE_INFINITY);
    await proxy.set("cut");
    const write = appWrite(web.name, 0n, { body: Buffer.from("a body without any answer") });
    assert.deepEqual(await store.write(write, AbortSignal.timeout(1500)), { kind: "unknown" });
    assert.equal(await settled("unknown"), 1);
    await proxy.set(undefined);
    const again = async () => (await store.write(write).catch(() => undefined))?.kind ?? "failed";
    await eventually(async () => ["written", "conflict"].includes(await again()), { timeoutMs: 20_000 });
    const direct = await openCassandraConfigStore({ client: keyspace.client, clock: systemClock });
    assert.equal((await readHistory(direct, web)).length, 1);
  });

  for (const fault of ["black hole", "refuse", "half-open"] as const satisfies readonly Fault[]) {
    it(`the config store rejects with \`unavailable\` within its limit during a ${fault}, and is used again after it`, async () => {
      await using stack = new AsyncDisposableStack();
      const { proxy, client, store } = await proxied(stack, "none", 0);
      const web = { kind: "app", name: freshName("web") } as const;
      assert.deepEqual(await store.write(appWrite(web.name, 0n)), { kind: "written" });
      await proxy.set(fault);
      const startedAt = performance.now();
      await assert.rejects(store.get(web), /unavailable|the store/);
      assert.ok(performance.now() - startedAt < 8000);
      await proxy.set(undefined);
      await eventually(async () => (await store.get(web).catch(() => undefined))?.revision === 1n, { timeoutMs: 30_000 });
      await eventually(() => client.inFlight === 0, { timeoutMs: 10_000 });
      assert.ok(proxy.struck[fault] >= 1);
    });
  }
});

import { strict as assert } from "node:assert";
import { systemClock } from "../../../clock/system-clock.ts";
import { NebulaError } from "../../../errors/nebula-error.ts";
import { requireServer } from "../../../testing/servers.ts";
import { createTestKeyspace, type TestKeyspace } from "../../../testing/test-keyspace.ts";
import type { AccessStore } from "../../access-store.ts";
import { freshSamples, NOW_MS } from "../../contracts/access-store-samples.ts";
import type { StoreClient } from "../connection/client.ts";
import { createCassandraAccessStore } from "./access-store.ts";

/**
 * `cut`: the process ends after a statement. `lost`: the outcome of the statement is not known, and it was not applied.
 * `unanswered`: not known, and it was applied. `doubled`: each conditional statement is sent twice, as after an answer
 * that was lost, and the second answer counts.
 */
type Fault = "cut" | "lost" | "unanswered" | "doubled";

const CUT = new NebulaError("unavailable", "cut by the test");

/** A client that meets a fault at its statement number `at`, from 0; it counts statements, and those by table. */
function faultyClient(client: StoreClient, fault: Fault, at: number) {
  const state = { statements: 0, met: false, conditionals: new Map<string, number>() };
  const step = (): boolean => {
    const isHere = state.statements++ === at;
    if (isHere && fault !== "doubled") state.met = true;
    return isHere;
  };
  const assertAlive = () => {
    if (fault === "cut" && state.statements > at) {
      state.met = true;
      throw CUT;
    }
  };
  const double: StoreClient = {
    define: (statement) => client.define(statement),
    settled: (table, as) => client.settled(table, as),
    async execute(query, options) {
      assertAlive();
      if (options.kind === "write") step();
      return client.execute(query, options);
    },
    async executeMany(cql, values, options) {
      assertAlive();
      if (options.kind === "write") step();
      return client.executeMany(cql, values, options);
    },
    async conditional(table, queries, signal) {
      assertAlive();
      state.conditionals.set(table, (state.conditionals.get(table) ?? 0) + 1);
      const isHere = step();
      if (fault === "doubled") {
        await client.conditional(table, queries, signal);
        const again = await client.conditional(table, queries, signal);
        state.met ||= again.kind === "refused";
        return again.kind === "refused" ? { ...again, repeated: true } : again;
      }
      if (isHere && fault === "lost") return { kind: "unknown" };
      const outcome = await client.conditional(table, queries, signal);
      return isHere && fault === "unanswered" ? { kind: "unknown" } : outcome;
    },
  };
  return { client: double, state };
}

type Samples = ReturnType<typeof freshSamples>;
type Operation = Readonly<{
  name: string;
  /** Statements that write, at least. */
  statements: number;
  prepare(store: AccessStore, samples: Samples): Promise<unknown>;
  call(store: AccessStore, samples: Samples): Promise<unknown>;
  /** Asserts the promises of the call, with or without a fault on the way. */
  assert(store: AccessStore, samples: Samples): Promise<void>;
  /** A1: the stamp is another after the call, and after the repeated one again. */
  renews: boolean;
}>;

async function enrolled(store: AccessStore, { enrolment, device }: Samples): Promise<void> {
  await store.createEnrolment(enrolment("e1", { usesLeft: 3 }));
  assert.equal((await store.enrol(device("d1"))).kind, "enrolled");
}

const OPERATIONS: readonly Operation[] = [
  {
    name: "an enrolment",
    statements: 5,
    renews: false,
    prepare: (store, { enrolment }) => store.createEnrolment(enrolment("e1", { usesLeft: 3 })),
    call: (store, { device }) => store.enrol(device("d1")),
    async assert(store, { n, device, enrolment }) {
      assert.equal((await store.deviceToken(n("d1")))?.tokenHash, device("d1").tokenHash);
      assert.equal((await store.tokenOwner(device("d1").tokenHash))?.kind, "device");
      assert.equal((await store.enrolment(enrolment("e1").id))?.usesLeft, 2, "one use, however often the call was made");
      assert.deepEqual(
        (await store.listDeviceTokens({ deviceGroup: n("shops") }, { limit: 10 })).items.map(({ deviceId }) => deviceId),
        [n("d1")],
      );
    },
  },
  {
    name: "the creation of an enrolment token",
    statements: 3,
    renews: false,
    prepare: async () => {},
    call: (store, { enrolment }) => store.createEnrolment(enrolment("e1")),
    async assert(store, { n, enrolment, device }) {
      assert.deepEqual((await store.listEnrolments({ deviceGroup: n("shops"), nowMs: NOW_MS }, { limit: 10 })).items, [enrolment("e1")]);
      assert.equal((await store.enrol(device("d1"))).kind, "enrolled");
    },
  },
  {
    name: "the revocation of an enrolment token",
    statements: 4,
    renews: true,
    prepare: enrolled,
    call: (store, { enrolment }) => store.revokeEnrolment(enrolment("e1").id),
    async assert(store, { enrolment, device }) {
      assert.equal(await store.tokenOwner(enrolment("e1").tokenHash), undefined);
      assert.equal(await store.enrolment(enrolment("e1").id), undefined);
      assert.deepEqual(await store.enrol(device("d2")), { kind: "not_valid", why: "unknown" });
    },
  },
  {
    name: "the announcement of a next token",
    statements: 3,
    renews: false,
    async prepare(store, samples) {
      await enrolled(store, samples);
      await store.announceNext(samples.device("d1").tokenHash, samples.hashOf("forgotten"));
    },
    call: (store, { device, hashOf }) => store.announceNext(device("d1").tokenHash, hashOf("next")),
    async assert(store, { device, hashOf }) {
      assert.equal((await store.deviceByTokenHash(hashOf("next")))?.nextHash, hashOf("next"));
      assert.equal((await store.deviceByTokenHash(device("d1").tokenHash))?.nextHash, hashOf("next"));
      assert.equal(await store.tokenOwner(hashOf("forgotten")), undefined);
    },
  },
  {
    name: "the first use of a next token",
    statements: 3,
    renews: false,
    async prepare(store, samples) {
      await enrolled(store, samples);
      await store.tokenOwner(samples.device("d1").tokenHash); // it was used: its row answers alone
      await store.announceNext(samples.device("d1").tokenHash, samples.hashOf("next"));
    },
    call: (store, { hashOf }) => store.promoteNext(hashOf("next"), NOW_MS + 5),
    async assert(store, { n, device, hashOf }) {
      const owner = await store.tokenOwner(hashOf("next"));
      assert.deepEqual(owner, { kind: "device", deviceId: n("d1"), deviceGroup: n("shops"), isNext: false });
      assert.equal(await store.tokenOwner(device("d1").tokenHash), undefined, "the token before has ended");
      assert.equal((await store.deviceToken(n("d1")))?.rotatedAt, NOW_MS + 5);
    },
  },
  {
    name: "the revocation of a device's token",
    statements: 6,
    renews: true,
    async prepare(store, samples) {
      await enrolled(store, samples);
      await store.tokenOwner(samples.device("d1").tokenHash);
      await store.announceNext(samples.device("d1").tokenHash, samples.hashOf("next"));
    },
    call: (store, { n }) => store.revokeDeviceToken(n("d1")),
    async assert(store, { n, device, hashOf }) {
      for (const hash of [device("d1").tokenHash, hashOf("next")]) assert.equal(await store.tokenOwner(hash), undefined);
      assert.equal(await store.promoteNext(hashOf("next"), NOW_MS), "absent");
      assert.equal(await store.deviceToken(n("d1")), undefined);
      assert.deepEqual((await store.listDeviceTokens({ deviceGroup: n("shops") }, { limit: 10 })).items, []);
      assert.equal((await store.enrol(device("d1", { tokenHash: hashOf("new") }))).kind, "enrolled", "it may enrol again, with another token");
    },
  },
  {
    name: "a write of a user with another token",
    statements: 3,
    renews: true,
    prepare: (store, { userWrite }) => store.writeUser(userWrite("ann", 0n)),
    call: (store, { userWrite, hashOf }) => store.writeUser(userWrite("ann", 1n, { tokenHash: hashOf("second") })),
    async assert(store, { n, userWrite, hashOf }) {
      assert.equal((await store.getUser(n("ann")))?.revision, 2n);
      assert.equal((await store.tokenOwner(hashOf("second")))?.kind, "user");
      assert.equal(await store.tokenOwner(userWrite("ann", 0n).tokenHash), undefined);
    },
  },
  {
    name: "a write of a user_group with other members",
    statements: 1,
    renews: true,
    prepare: (store, { groupWrite }) => store.writeUserGroup(groupWrite("staff", 0n, { members: ["ann", "bob"] })),
    call: (store, { groupWrite }) => store.writeUserGroup(groupWrite("staff", 1n, { members: ["bob", "eve"] })),
    async assert(store, { n }) {
      const groups = await Promise.all(["ann", "bob", "eve"].map(async (user) => (await store.groupsOf(n(user))).map(({ revision }) => revision)));
      assert.deepEqual(groups, [[], [2n], [2n]]);
    },
  },
  {
    name: "the creation of a session that ends the oldest",
    statements: 4,
    renews: false,
    prepare: (store, { session }) => store.createSession(session("old"), 1),
    call: (store, { session }) => store.createSession(session("new", { createdAt: NOW_MS + 1 }), 1),
    async assert(store, { n, session }) {
      const made = session("new", { createdAt: NOW_MS + 1 });
      assert.deepEqual(await store.session(made.id), made);
      assert.equal(await store.session(session("old").id), undefined);
      assert.deepEqual((await store.listSessions({ user: n("ann"), nowMs: NOW_MS }, { limit: 10 })).items, [made]);
    },
  },
  {
    name: "the end of a session",
    statements: 2,
    renews: false,
    prepare: (store, { session }) => store.createSession(session("s1"), 20),
    call: (store, { session }) => store.deleteSession(session("s1").id),
    async assert(store, { n, session }) {
      assert.equal(await store.session(session("s1").id), undefined);
      assert.deepEqual((await store.listSessions({ user: n("ann"), nowMs: NOW_MS }, { limit: 10 })).items, []);
    },
  },
];

/** The call did what it promises, as far as it says. */
function isUnsettled(outcome: unknown): boolean {
  return outcome === "unknown" || (typeof outcome === "object" && outcome !== null && "kind" in outcome && outcome.kind === "unknown");
}

describe("the access store on Cassandra", () => {
  let keyspace: TestKeyspace;
  before(async function () {
    keyspace = await createTestKeyspace(await requireServer(this, "cassandra"));
  });
  after(async () => await keyspace?.[Symbol.asyncDispose]());

  const storeOn = (client: StoreClient) => createCassandraAccessStore({ client, clock: systemClock, auditRetentionMs: 86_400_000 });

  for (const operation of OPERATIONS) {
    for (const fault of ["cut", "lost", "unanswered"] as const) {
      it(`a repeated call completes ${operation.name} after a statement was ${fault}`, async () => {
        const plain = storeOn(keyspace.client);
        let faults = 0;
        for (let at = 0; ; at++) {
          assert.ok(at < 40, "the call has no end");
          const samples = freshSamples();
          await operation.prepare(plain, samples);
          const stamp = await plain.stamp();
          const { client, state } = faultyClient(keyspace.client, fault, at);
          const first = await operation.call(storeOn(client), samples).catch((error: unknown) => {
            assert.equal(error, CUT);
            return "cut";
          });
          if (state.met) {
            faults++;
            if (first === "cut" || isUnsettled(first)) {
              const between = await plain.stamp();
              const again = await operation.call(storeOn(keyspace.client), samples);
              assert.ok(!isUnsettled(again), `statement ${at}`);
              const isConflict = typeof again === "object" && again !== null && "kind" in again && again.kind === "conflict";
              if (operation.renews && !isConflict) assert.notEqual(await plain.stamp(), between, `A1: the repeated call, statement ${at}`);
            }
          }
          if (operation.renews) assert.notEqual(await plain.stamp(), stamp, `A1: statement ${at}`);
          await operation.assert(plain, samples);
          if (!state.met) break;
        }
        assert.ok(faults >= operation.statements || (fault !== "cut" && faults > 0), `${faults} faults`);
      }).timeout(60_000);
    }

    it(`lost answers of ${operation.name} are settled, each statement sent twice`, async () => {
      const plain = storeOn(keyspace.client);
      const samples = freshSamples();
      await operation.prepare(plain, samples);
      const { client, state } = faultyClient(keyspace.client, "doubled", -1);
      const outcome = await operation.call(storeOn(client), samples);
      assert.ok(!isUnsettled(outcome));
      assert.ok(state.met, "no second statement was refused");
      await operation.assert(plain, samples);
    }).timeout(20_000);
  }

  it("an enrolment token admits no more devices than it has uses through two stores at once (A4)", async () => {
    const { enrolment, device } = freshSamples();
    const [uses, callers] = [60, 50];
    const stores = [storeOn(keyspace.client), storeOn(keyspace.client)];
    await storeOn(keyspace.client).createEnrolment(enrolment("e1", { usesLeft: uses }));
    const calls = stores.flatMap((store, index) => Array.from({ length: callers }, (_, i) => store.enrol(device(`d${index}-${i}`))));
    const outcomes = await Promise.all(calls);
    assert.equal(outcomes.filter(({ kind }) => kind === "enrolled").length, uses);
    for (const outcome of outcomes) if (outcome.kind !== "enrolled") assert.deepEqual(outcome, { kind: "not_valid", why: "used_up" });
    assert.equal((await stores[0]?.enrolment(enrolment("e1").id))?.usesLeft, 0);
  }).timeout(60_000);

  it("a device that enrols through two stores at once takes one use", async () => {
    for (let round = 0; round < 5; round++) {
      const { n, enrolment, device } = freshSamples();
      const stores = [storeOn(keyspace.client), storeOn(keyspace.client)] as const;
      await stores[0].createEnrolment(enrolment("e1", { usesLeft: 5 }));
      const outcomes = await Promise.all([...stores, ...stores].map((store) => store.enrol(device("d1"))));
      for (const outcome of outcomes) assert.equal(outcome.kind, "enrolled");
      assert.equal((await stores[1].enrolment(enrolment("e1").id))?.usesLeft, 4);
      assert.equal((await stores[1].deviceToken(n("d1")))?.tokenHash, device("d1").tokenHash);
    }
  }).timeout(30_000);

  it("the end of a session whose outcome is unknown is answered as such, and the session has ended", async () => {
    const plain = storeOn(keyspace.client);
    const ends: readonly { by: string; at: number; end(store: AccessStore, samples: Samples): Promise<unknown> }[] = [
      { by: "a logout", at: 0, end: (store, { session }) => store.deleteSession(session("old").id) },
      { by: "one session too many", at: 2, end: (store, { session }) => store.createSession(session("new", { createdAt: NOW_MS + 1 }), 1) },
    ];
    for (const { by, at, end } of ends) {
      const samples = freshSamples();
      const { id } = samples.session("old");
      await plain.createSession(samples.session("old"), 20);
      const { client, state } = faultyClient(keyspace.client, "unanswered", at);
      assert.ok(isUnsettled(await end(storeOn(client), samples)) && state.met, by);
      assert.equal(await plain.session(id), undefined, by);
    }
  });

  it("the row of a session ends by itself, an hour after the session", async () => {
    const { session } = freshSamples();
    const made = session("s1", { createdAt: NOW_MS, expiresAt: NOW_MS + 60_000 });
    await storeOn(keyspace.client).createSession(made, 20);
    const query = { cql: "SELECT TTL(token_hash) AS left FROM session WHERE id = ?", params: [made.id] };
    const [row] = (await keyspace.client.execute(query, { table: "session", kind: "read" })).rows;
    const left = Number(row?.left);
    assert.ok(left > 3600 && left <= 3660, `${left} s`);
  });

  it("a fleet is admitted with far fewer transactions of the enrolment token than devices", async () => {
    const { enrolment, device } = freshSamples();
    const { client, state } = faultyClient(keyspace.client, "cut", Number.POSITIVE_INFINITY);
    const store = storeOn(client);
    await store.createEnrolment(enrolment("e1", { usesLeft: 100 }));
    const outcomes = await Promise.all(Array.from({ length: 100 }, (_, i) => store.enrol(device(`d${i}`))));
    assert.equal(outcomes.filter(({ kind }) => kind === "enrolled").length, 100);
    const batches = (state.conditionals.get("enrolment") ?? 0) - 1; // one made the token
    assert.ok(batches >= 2 && batches <= 40, `${batches} batches`);
  }).timeout(30_000);
});

import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { silentLog } from "../../common/log/log.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { HealthCheckResponse_ServingStatus as Serving } from "../../gen/grpc/health/v1/health_pb.ts";
import { AppService } from "../../gen/nebula/v1/app_pb.ts";
import { type Answers, StandInManager } from "../testing/stand-in-manager.ts";
import { CALLS_PER_CHANNEL } from "./manager-channels.ts";
import { ManagerPool } from "./manager-pool.ts";

const app = { name: "web", dockerImage: "shop:1" };
const GOOD: Answers = { createApp: async () => ({ app }), getApp: async () => ({ app }) };

/** A pool on managers that stand in, over a clock that stands still. */
class Rig implements Disposable {
  readonly clock = new ManualClock();
  readonly pool: ManagerPool;

  constructor(managers: readonly { host?: string; port: number }[], lookup?: (name: string) => Promise<readonly string[]>) {
    const urls = managers.map(({ host = "127.0.0.1", port }) => ({ protocol: "grpc", host, port }) as const);
    this.pool = new ManagerPool({
      urls,
      tls: () => ({}),
      headers: {},
      clock: this.clock,
      log: silentLog,
      ...(lookup === undefined ? {} : { lookup }),
    });
  }

  async allUp(count: number): Promise<void> {
    await eventually(() => this.pool.states.up === count);
  }

  write(name: string): Promise<unknown> {
    const request = create(AppService.method.createApp.input, { app: { ...app, name } });
    return this.pool.unary(AppService.method.createApp, request, { signal: new AbortController().signal });
  }

  read(login = ""): Promise<unknown> {
    const headers: Record<string, string> = login === "" ? {} : { authorization: login };
    const request = create(AppService.method.getApp.input, { name: "web" });
    return this.pool.unary(AppService.method.getApp, request, { signal: new AbortController().signal, headers });
  }

  [Symbol.dispose](): void {
    this.pool[Symbol.dispose]();
  }
}

describe("the gateway's choice of managers", function () {
  this.timeout(20_000);

  it("the pool keeps the writes of an entity and the reads of a login to one manager each, and moves only those of a lost manager", async () => {
    const managers = [await StandInManager.start(GOOD), await StandInManager.start(GOOD), await StandInManager.start(GOOD)] as const;
    try {
      using rig = new Rig(managers);
      await rig.allUp(3);
      const homeOf = async (call: () => Promise<unknown>): Promise<number> => {
        const before = managers.map(({ seen }) => seen.length);
        for (let repeat = 0; repeat < 4; repeat++) await call();
        const grown = managers.flatMap(({ seen }, index) => (seen.length > (before[index] ?? 0) ? [index] : []));
        assert.equal(grown.length, 1);
        return grown[0] ?? -1;
      };
      const calls = Array.from({ length: 24 }, (_, index) => [() => rig.write(`app-${index}`), () => rig.read(`Basic ${index}`)]).flat();
      const homes: number[] = [];
      for (const call of calls) homes.push(await homeOf(call));
      assert.deepEqual(new Set(homes), new Set([0, 1, 2]));

      await managers[0][Symbol.asyncDispose]();
      await rig.allUp(2);
      for (const [index, call] of calls.entries()) {
        const home = await homeOf(call);
        if (homes[index] === 0) assert.notEqual(home, 0);
        else assert.equal(home, homes[index]);
      }
    } finally {
      for (const manager of managers) await manager[Symbol.asyncDispose]();
    }
  });

  it("the pool lets calls of no entity and no login take turns", async () => {
    await using one = await StandInManager.start(GOOD);
    await using two = await StandInManager.start(GOOD);
    using rig = new Rig([one, two]);
    await rig.allUp(2);
    for (let call = 0; call < 10; call++) await rig.read();
    assert.deepEqual([one.calls("getApp"), two.calls("getApp")], [5, 5]);
  });

  it("the pool asks another manager for a read without an answer for 3 s, and takes the first answer; a write is sent once", async () => {
    const slow = Promise.withResolvers<{ app: typeof app }>();
    const hanging: Answers = { createApp: () => slow.promise, getApp: () => slow.promise };
    await using one = await StandInManager.start(hanging);
    await using two = await StandInManager.start(GOOD);
    using rig = new Rig([one, two]);
    await rig.allUp(2);
    const answers: string[] = [];
    const reads = Array.from({ length: 6 }, () => rig.read().then(() => answers.push("read")));
    const writes = Array.from({ length: 12 }, (_, index) => rig.write(`app-${index}`).then(() => answers.push("write")));
    await eventually(() => one.calls("getApp") === 3 && one.calls("createApp") + two.calls("createApp") === 12);
    const kept = one.calls("createApp");
    assert.ok(kept > 0, "some entities are at home at the manager that hangs");
    await rig.clock.advance(2999);
    assert.equal(two.calls("getApp"), 3);
    await rig.clock.advance(1);
    await Promise.all(reads);
    assert.equal(two.calls("getApp"), 6);
    await eventually(() => one.cancelled === 3);
    await rig.clock.advance(60_000);
    assert.deepEqual([one.calls("createApp"), two.calls("createApp")], [kept, 12 - kept]);
    slow.resolve({ app });
    await Promise.all(writes);
    assert.equal(answers.filter((answer) => answer === "write").length, 12);
  });

  it("the pool sends a write elsewhere that cannot have been sent, since its manager took no connection for it", async () => {
    const slow = Promise.withResolvers<{ app: typeof app }>();
    await using one = await StandInManager.start({ ...GOOD, getApp: () => slow.promise, status: async () => ({}) });
    const away = await StandInManager.start({});
    await away[Symbol.asyncDispose]();
    using rig = new Rig([one, away]);
    await rig.allUp(1);
    // the calls of the pool itself are over: one beside the reads would need a second connection
    await eventually(() => one.calls("getStatus") === 1 && rig.clock.sleeping === 1);
    const reads = Array.from({ length: CALLS_PER_CHANNEL }, () => rig.read());
    await eventually(() => one.calls("getApp") === CALLS_PER_CHANNEL);
    one.takeNoMore();
    await using two = await StandInManager.start(GOOD, away.port);
    await rig.allUp(2);
    await Promise.all(Array.from({ length: 8 }, (_, index) => rig.write(`app-${index}`)));
    assert.deepEqual([one.calls("createApp"), two.calls("createApp")], [0, 8]);
    slow.resolve({ app });
    await Promise.all(reads);
  });

  it("the pool leaves a manager out that answers neither ping nor call for 8 s, until it answers; an answered call counts as well as a ping", async () => {
    let answerPing = true;
    const pings: Answers = { health: () => (answerPing ? Promise.resolve({ status: Serving.SERVING }) : new Promise(() => {})) };
    await using one = await StandInManager.start({ ...GOOD, ...pings });
    await using two = await StandInManager.start({ ...GOOD, health: async () => ({ status: Serving.SERVING }) });
    using rig = new Rig([one, two]);
    await rig.allUp(2);
    await eventually(() => one.calls("health") === 1);
    answerPing = false;
    const home = await nameAt(rig, one);
    await rig.clock.advance(5000);
    await eventually(() => one.calls("health") === 2);
    await rig.write(home);
    await rig.clock.advance(3000);
    assert.deepEqual(rig.pool.states, { up: 2, without_store: 0, silent: 0, away: 0 }, "it answered a call");
    await rig.clock.advance(5000);
    await eventually(() => one.calls("health") === 3);
    await rig.clock.advance(3000);
    await eventually(() => rig.pool.states.silent === 1);
    const before = one.calls("createApp");
    await rig.write(home);
    assert.equal(one.calls("createApp"), before);
    answerPing = true;
    await rig.clock.advance(5000);
    await rig.allUp(2);
    await rig.write(home);
    assert.equal(one.calls("createApp"), before + 1);
  });

  it("the pool prefers managers that reach their store, and takes any where none does", async () => {
    let status: Serving = Serving.NOT_SERVING;
    await using one = await StandInManager.start({ ...GOOD, health: async () => ({ status: Serving.NOT_SERVING }) });
    await using two = await StandInManager.start({ ...GOOD, health: async () => ({ status }) });
    using rig = new Rig([one, two]);
    await eventually(() => rig.pool.states.without_store === 2);
    assert.equal(rig.pool.connected, true);
    for (let call = 0; call < 4; call++) await rig.read();
    assert.deepEqual([one.calls("getApp"), two.calls("getApp")], [2, 2]);
    status = Serving.SERVING;
    await rig.clock.advance(5000);
    await eventually(() => rig.pool.states.up === 1);
    for (let call = 0; call < 4; call++) await rig.read();
    assert.deepEqual([one.calls("getApp"), two.calls("getApp")], [2, 6]);
  });

  it("the pool takes a name for all its addresses, and looks it up again every 10 s, also where a lookup fails meanwhile", async () => {
    await using one = await StandInManager.start(GOOD);
    await using two = await StandInManager.start(GOOD, one.port, "127.0.0.2");
    let addresses: readonly string[] | undefined = ["127.0.0.1"];
    const asked: string[] = [];
    const lookup = async (name: string) => {
      asked.push(name);
      return addresses ?? Promise.reject(new Error("no answer"));
    };
    using rig = new Rig([{ host: "managers.example", port: one.port }], lookup);
    await rig.read();
    assert.deepEqual([one.calls("getApp"), two.calls("getApp")], [1, 0]);
    addresses = ["127.0.0.1", "127.0.0.2"];
    await rig.clock.advance(10_000);
    await rig.allUp(2);
    addresses = undefined;
    await rig.clock.advance(10_000);
    assert.equal(rig.pool.states.up, 2);
    addresses = ["127.0.0.2"];
    await rig.clock.advance(10_000);
    assert.deepEqual(rig.pool.states, { up: 1, without_store: 0, silent: 0, away: 0 });
    for (let call = 0; call < 4; call++) await rig.read();
    assert.deepEqual([one.calls("getApp"), two.calls("getApp")], [1, 4]);
    assert.deepEqual(asked, Array(4).fill("managers.example"));
  });

  it("the pool answers within seconds that no manager answers while all are silent", async () => {
    await using one = await StandInManager.start({ ...GOOD, health: () => new Promise(() => {}) });
    using rig = new Rig([one]);
    await rig.allUp(1);
    await eventually(() => one.calls("health") === 1);
    await rig.clock.advance(3000);
    await eventually(() => rig.pool.states.silent === 1);
    assert.equal(rig.pool.connected, false);
    await assert.rejects(rig.read(), (error) => isNebulaError(error, "unavailable") && error.message.startsWith("no manager answers at 127.0.0.1:"));
  });
});

/** A name whose writes keep to this manager. */
async function nameAt(rig: Rig, manager: StandInManager): Promise<string> {
  for (let index = 0; ; index++) {
    const before = manager.calls("createApp");
    await rig.write(`app-${index}`);
    if (manager.calls("createApp") > before) return `app-${index}`;
  }
}

import { strict as assert } from "node:assert";
import fc from "fast-check";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { isNebulaError, NebulaError } from "../../common/errors/nebula-error.ts";
import { createLog } from "../../common/log/log.ts";
import type { DeviceToken } from "../data/device-token.ts";
import type { SaveOutcome } from "../data/whole-file.ts";
import { TestTokenServer } from "../testing/test-token-server.ts";
import { DeviceLogin, type DeviceLoginOptions } from "./device-login.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** A device, its disk and its server, with lives of the worker one after another. */
class Device {
  readonly clock = new ManualClock();
  readonly server = new TestTokenServer();
  readonly lines: string[] = [];
  readonly made: string[] = [];
  disk: DeviceToken | undefined;
  save = async (token: DeviceToken): Promise<SaveOutcome> => {
    this.disk = token;
    return { kind: "saved" };
  };
  life = new AbortController();
  ended: Promise<void> = Promise.resolve();

  start(changes: Partial<DeviceLoginOptions> = {}): DeviceLogin {
    this.life = new AbortController();
    const login = new DeviceLogin({
      deviceId: "device-1",
      kept: this.disk,
      save: (token) => this.save(token),
      server: this.server,
      credentials: undefined,
      enrollToken: "enrol",
      deviceGroup: undefined,
      rotationMs: DAY_MS,
      newSecret: () => {
        this.made.push(`s${this.made.length + 1}`);
        return this.made.at(-1) ?? "";
      },
      clock: this.clock,
      log: createLog({ level: "debug", part: "worker", destination: { write: (line) => this.lines.push(line) } }),
      random: () => 0.5,
      ...changes,
    });
    this.ended = login.run(this.life.signal);
    this.ended.catch(() => {});
    return login;
  }

  async stop(): Promise<void> {
    this.life.abort();
    await this.ended;
  }

  /** Lines at warn or above. */
  get warnings(): { msg: string; reason: string }[] {
    return this.lines.map((line) => JSON.parse(line)).filter(({ level }) => ["warn", "error", 40, 50].includes(level));
  }
}

describe("a device's login", () => {
  let device: Device;
  beforeEach(() => {
    device = new Device();
  });
  afterEach(() => device.stop().catch(() => {}));

  it("a device's login enrols with a secret that is on the disk before the server receives it, and uses the enrolment token no more", async () => {
    const order: string[] = [];
    device.server.interfere = (when) => void order.push(`${when} call, on disk: ${device.disk?.pending?.secret}`);
    const login = device.start();
    await login.ready(device.life.signal);
    assert.equal(login.authorization(), "Bearer s1");
    assert.equal(await login.deviceGroup, "shop");
    assert.deepEqual(order, ["before call, on disk: s1", "after call, on disk: s1"]);
    assert.deepEqual(device.disk, {
      deviceId: "device-1",
      confirmed: { token: "s1", deviceGroup: "shop", since: device.clock.now() },
      previous: undefined,
      pending: undefined,
    });
    await device.stop();
    device.start();
    await device.clock.advance(HOUR_MS);
    assert.deepEqual(device.server.calls, ["enroll s1"]);
  });

  it("a device's login repeats an enrolment whose answer was lost with the same secret, also after a restart", async () => {
    device.server.interfere = (when) => {
      if (when === "after") throw new NebulaError("unavailable", "the answer was lost");
    };
    device.start();
    await device.clock.advance(5000);
    await device.stop();
    device.server.interfere = () => {};
    const login = device.start();
    await login.ready(device.life.signal);
    assert.equal(login.authorization(), "Bearer s1");
    assert.equal(device.server.usesLeft, 0);
    assert.deepEqual([...new Set(device.server.calls)], ["enroll s1"]);
  });

  it("a device's login reports once why it is not admitted, and retries more and more seldom", async () => {
    device.server.inUse = "of another device";
    device.start();
    await device.clock.advance(HOUR_MS);
    assert.deepEqual(
      device.warnings.map(({ msg, reason }) => [msg, reason]),
      [["the device can't be enrolled", "the device has another token"]],
    );
    assert.ok(device.server.calls.length > 10 && device.server.calls.length < 30, `${device.server.calls.length} tries in an hour`);
    device.server.revoke();
    await device.clock.advance(5 * 60_000);
    assert.ok(device.server.accepts("s1"));
    assert.ok(!JSON.stringify(device.lines).includes("s1"), "a secret is in the log");
  });

  it("a device's login does not enrol while the disk does not take the secret", async () => {
    device.save = async () => ({ kind: "not_saved", reason: "ENOSPC" });
    device.start();
    await device.clock.advance(HOUR_MS);
    assert.deepEqual(device.server.calls, []);
    assert.equal(device.warnings[0]?.reason, "ENOSPC");
  });

  it("a device's login is the confirmed token, else the given credentials", async () => {
    const credentials = { kind: "token", token: "given" } as const;
    const login = device.start({ credentials });
    assert.equal(login.authorization(), "Bearer given");
    await login.ready(device.life.signal);
    await device.clock.advance(0);
    assert.equal(login.authorization(), "Bearer s1");
    await device.stop();
    device.disk = undefined;
    const without = device.start({ credentials, enrollToken: undefined });
    await without.ready(device.life.signal);
    await device.clock.advance(HOUR_MS);
    assert.equal(without.authorization(), "Bearer given");
  });

  it("a device's login refuses to be of another device_group than the one that its token is bound to, and keeps the token", async () => {
    device.start({ deviceGroup: "pos" });
    await device.clock.advance(0);
    await assert.rejects(device.ended, (error) => isNebulaError(error, "failed_precondition") && /'shop'.*'pos'/.test(error.message));
    assert.equal(device.disk?.confirmed?.token, "s1");
    const login = device.start({ deviceGroup: "shop" });
    assert.equal(await login.deviceGroup, "shop");
  });

  it("a device's login rotates in time: the next is on the disk, then announced, then used", async () => {
    const login = device.start();
    await device.clock.advance(0.95 * DAY_MS - 1);
    assert.equal(login.authorization(), "Bearer s1");
    const onDisk: (string | undefined)[][] = [];
    device.server.interfere = () => void onDisk.push([device.disk?.confirmed?.token, device.disk?.pending?.secret]);
    let changes = 0;
    login.onChanged = () => changes++;
    await device.clock.advance(1);
    assert.deepEqual(device.server.calls.slice(1), ["announce s2", "use s2"]);
    assert.deepEqual(onDisk, Array(4).fill(["s1", "s2"]));
    assert.equal(login.authorization(), "Bearer s2");
    assert.ok(changes > 0);
    assert.equal(login.refused("Bearer s1"), true, "the end of the one before is to be expected");
    assert.deepEqual([device.disk?.confirmed?.token, device.disk?.pending], ["s2", undefined]);
  });

  it("a device's login never rotates where that is off", async () => {
    device.start({ rotationMs: 0 });
    await device.clock.advance(400 * DAY_MS);
    assert.deepEqual(device.server.calls, ["enroll s1"]);
  });

  it("a device's login rotates a token that dates from a clock that was ahead by years", async () => {
    device.clock.setWall(Date.UTC(2036, 0, 1));
    device.start();
    await device.clock.advance(0);
    device.clock.setWall(Date.UTC(2026, 0, 1));
    await device.clock.advance(DAY_MS);
    assert.deepEqual(device.server.calls, ["enroll s1", "announce s2", "use s2"]);
  });

  it("a device's login enrols again with a new secret when its token was revoked, and reports that once", async () => {
    const login = device.start();
    await login.ready(device.life.signal);
    device.server.revoke();
    for (let times = 0; times < 3; times++) {
      assert.equal(login.refused("Bearer s1"), false);
      await device.clock.advance(HOUR_MS / 2);
    }
    assert.deepEqual(
      device.warnings.map(({ msg }) => msg.slice(0, 50)),
      ["the server does not know this device's token any m", "the device can't be enrolled"],
    );
    device.server.usesLeft = 1;
    await device.clock.advance(HOUR_MS);
    assert.equal(login.authorization(), "Bearer s2");
    login.refused("Bearer s1"); // an answer to an older call
    await device.clock.advance(HOUR_MS);
    assert.equal(login.authorization(), "Bearer s2");
  });

  it("a device's login keeps a token that was refused by mistake", async () => {
    const login = device.start();
    await login.ready(device.life.signal);
    login.refused("Bearer s1");
    await device.clock.advance(HOUR_MS);
    assert.equal(login.authorization(), "Bearer s1");
    assert.deepEqual([device.disk?.confirmed?.token, device.disk?.pending], ["s1", undefined]);
  });

  it("a device's login keeps asking when it was revoked and has no enrolment token, and rotates again once it is known", async () => {
    device.start();
    await device.clock.advance(0);
    await device.stop();
    const login = device.start({ enrollToken: undefined });
    device.server.revoke();
    login.refused("Bearer s1");
    await device.clock.advance(HOUR_MS);
    assert.equal(login.authorization(), "Bearer s1");
    assert.equal(device.warnings.length, 1);
    device.server.inUse = "s1"; // restored from a backup
    await device.clock.advance(2 * DAY_MS);
    assert.ok(device.server.accepts(login.authorization()?.slice("Bearer ".length)));
    assert.notEqual(login.authorization(), "Bearer s1");
  });

  /** A device that has rotated from s1 to s2, and a server whose store was restored from before. */
  async function rotatedThenRestored(enrollToken: string | undefined): Promise<DeviceLogin> {
    const login = device.start({ enrollToken: "enrol" });
    await login.ready(device.life.signal);
    await device.clock.advance(DAY_MS);
    await device.stop();
    assert.equal(device.disk?.confirmed?.token, "s2");
    assert.equal(device.disk?.previous?.token, "s1");
    device.server.inUse = "s1";
    device.server.next = undefined;
    const restarted = device.start({ enrollToken, rotationMs: 30 * DAY_MS });
    assert.equal(restarted.refused(restarted.authorization()), true, "another login is on its way");
    return restarted;
  }

  it("L5: a device's login uses the token from before the last rotation again where the server knows that one alone, as after a restore", async () => {
    for (const enrollToken of [undefined, "enrol"]) {
      device = new Device();
      const login = await rotatedThenRestored(enrollToken);
      await device.clock.advance(1000);
      assert.equal(login.authorization(), "Bearer s1");
      assert.deepEqual([device.disk?.confirmed?.token, device.disk?.previous?.token], ["s1", "s2"]);
      assert.equal(device.server.calls.filter((call) => call.startsWith("enroll")).length, 1, "the enrolment of the beginning alone");
      assert.deepEqual(
        device.warnings.map(({ msg }) => msg.slice(0, 60)),
        ["the server knows the token from before the last rotation alo"],
      );
      await device.clock.advance(30 * DAY_MS);
      assert.ok(device.server.accepts(login.authorization()?.slice("Bearer ".length)));
      assert.notEqual(login.authorization(), "Bearer s1", "it rotates on");
      await device.stop();
    }
  });

  it("L5: a device's login tries both tokens in turn while the server knows neither, and enrols only then", async () => {
    const login = await rotatedThenRestored(undefined);
    device.server.revoke();
    await device.clock.advance(HOUR_MS);
    assert.deepEqual([login.authorization(), device.warnings.length], ["Bearer s2", 1]);
    device.server.inUse = "s1";
    await device.clock.advance(HOUR_MS);
    assert.equal(login.authorization(), "Bearer s1");
  });

  it("a device's login waits with a login until it is clear which of two tokens is in use", async () => {
    device.start();
    await device.clock.advance(0);
    await device.stop();
    assert.ok(device.disk?.confirmed !== undefined);
    device.disk = { ...device.disk, pending: { kind: "rotating", secret: "s2" } };
    await device.server.announce("s1", "s2");
    await device.server.isKnown("s2");
    let isUp = false;
    device.server.interfere = () => {
      if (!isUp) throw new NebulaError("unavailable", "no server");
    };
    const login = device.start();
    let isReady = false;
    login.ready(device.life.signal).then(
      () => {
        isReady = true;
      },
      () => {},
    );
    await device.clock.advance(10_000);
    assert.ok(!isReady);
    isUp = true;
    await device.clock.advance(60_000);
    assert.ok(isReady);
    assert.equal(login.authorization(), "Bearer s2");
  });

  type Fault = "none" | "kill before" | "kill after" | "fail before" | "fail after";
  const fault = fc.oneof(
    { weight: 3, arbitrary: fc.constant<Fault>("none") },
    { weight: 4, arbitrary: fc.constantFrom<Fault>("kill before", "kill after", "fail before", "fail after") },
  );

  it("a device's login has a token on its disk that the server knows, after a kill or a lost answer at any point", async function () {
    this.timeout(60_000);
    await fc.assert(
      fc.asyncProperty(fc.array(fault, { maxLength: 25 }), async (drawn) => {
        const faults = [...drawn];
        const each = new Device();
        let wasIn = false;
        const check = () => {
          wasIn ||= each.server.inUse !== undefined;
          const kept = [each.disk?.confirmed?.token, each.disk?.pending?.secret];
          assert.ok(
            !wasIn || kept.some((token) => each.server.accepts(token)),
            `L1: ${JSON.stringify([each.disk, each.server.inUse, each.server.next])}`,
          );
        };
        /** The fault of the next thing that is done to disk or server. */
        let current: Fault = "none";
        const act = (when: "before" | "after") => {
          if (when === "before") current = faults.shift() ?? "none";
          check();
          if (each.life.signal.aborted) throw new Error("killed already");
          if (current === `kill ${when}`) {
            each.life.abort(new Error("killed"));
            throw new Error("killed");
          }
        };
        each.server.interfere = (when) => {
          act(when);
          if (current === `fail ${when}`) throw new NebulaError("unavailable", `lost: ${when}`);
        };
        each.save = async (token) => {
          act("before");
          if (current === "fail before") return { kind: "not_saved", reason: "full" };
          each.disk = token;
          act("after");
          return current === "fail after" ? { kind: "not_saved", reason: "written, and not known to be" } : { kind: "saved" };
        };
        let login = each.start();
        // Until it has had 80 hours without a fault, in which it comes in and rotates.
        for (let hours = 0, whole = 0; whole < 80; hours += 8) {
          assert.ok(hours < 10_000, "it does not come to an end");
          whole = faults.length > 0 || each.life.signal.aborted ? 0 : whole + 8;
          if (each.life.signal.aborted) {
            await each.ended;
            login = each.start();
          }
          await each.clock.advance(8 * HOUR_MS);
        }
        check();
        assert.ok(each.server.accepts(login.authorization()?.slice("Bearer ".length)), "it is not let in");
        assert.equal(each.server.usesLeft, 0, "it was not let in by one use");
        assert.ok(each.server.calls.some((call) => call.startsWith("announce")));
        await each.stop();
      }),
      { numRuns: process.env.NEBULA_TEST_LONG === "1" ? 3000 : 150 },
    );
  }).timeout(600_000);
});

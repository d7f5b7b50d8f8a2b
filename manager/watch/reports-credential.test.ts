import { strict as assert } from "node:assert";
import { newToken, tokenHash } from "../../common/access/tokens.ts";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import type { AccessStore } from "../../common/storage/access-store.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { newSessionToken, sessionKey } from "../access/sessions.ts";
import { report, startReporting } from "../testing/reporting-watch.ts";
import { bearer, putTestDevice, putTestUser } from "../testing/test-access.ts";

const OK = 0;
const PERMISSION_DENIED = 7;
const UNAVAILABLE = 14;
const UNAUTHENTICATED = 16;

describe("reports on a watch: its credential (R2)", () => {
  /** A store whose reads are counted, wait, or fail. */
  function unkindStore() {
    const unkind = { isDown: false, reads: [] as string[], waitFor: Promise.resolve() };
    const wrapAccessStore = (store: AccessStore): AccessStore =>
      new Proxy(store, {
        get(target, name) {
          const value = Reflect.get(target, name);
          if (typeof value !== "function" || name === "stamp") return value;
          return async (...args: unknown[]) => {
            unkind.reads.push(String(name));
            await unkind.waitFor;
            if (unkind.isDown) throw new NebulaError("unavailable", "down");
            return Reflect.apply(value, target, args);
          };
        },
      });
    return { unkind, wrapAccessStore };
  }

  it("a report after its credential was revoked is never taken: it is refused, or the watch has ended", async () => {
    await using rig = await startReporting({ auth: true });
    for (let round = 1; round <= 10; round++) {
      const deviceId = `device-${round}`;
      const watch = await rig.watch({ deviceId }, bearer(await putTestDevice(rig.rig.accessStore, deviceId, "g")));
      await rig.rig.accessStore.revokeDeviceToken(deviceId);
      await rig.rig.accessChanged(`device/${deviceId}`);
      watch.report(report(1, { deviceId }));
      await watch.closed;
      assert.equal(watch.status, UNAUTHENTICATED);
      assert.ok(watch.reported.every(({ code }) => code === UNAUTHENTICATED));
    }
    assert.deepEqual(rig.rig.published.reports, []);
  });

  it("a report is refused, and sent again later, while a credential that the feed named cannot be read", async () => {
    const { unkind, wrapAccessStore } = unkindStore();
    await using rig = await startReporting({ auth: true, wrapAccessStore });
    const watch = await rig.watch({}, bearer(await putTestDevice(rig.rig.accessStore, "device-1", "g")));
    unkind.isDown = true;
    await rig.rig.accessStore.revokeDeviceToken("device-1");
    await rig.rig.accessChanged("device/device-1");
    watch.report(report(1));
    await eventually(() => watch.reported.length === 1);
    assert.equal(watch.reported[0]?.code, UNAVAILABLE);
    assert.ok((watch.reported[0]?.retryAfterMs ?? 0) > 0);
    assert.equal(watch.status, undefined);
    unkind.isDown = false;
    watch.report(report(2));
    await watch.closed;
    assert.deepEqual([watch.status, rig.rig.published.reports], [UNAUTHENTICATED, []]);
  });

  it("a report is taken while the store is away, and the credential was not named", async () => {
    const { unkind, wrapAccessStore } = unkindStore();
    await using rig = await startReporting({ auth: true, wrapAccessStore });
    const watch = await rig.watch({}, bearer(await putTestDevice(rig.rig.accessStore, "device-1", "g")));
    await putTestUser(rig.rig.accessStore, "ann", {}); // a change that the feed loses
    unkind.isDown = true;
    unkind.reads.length = 0;
    rig.rig.breakFeed();
    await eventually(() => unkind.reads.length > 0);
    watch.report(report(1));
    await eventually(() => watch.reported.length === 1);
    assert.deepEqual([watch.reported[0]?.code, rig.rig.published.reports.length], [OK, 1]);
  });

  it("a credential is read once for all reports that wait for it, however many watches it opened", async () => {
    const { unkind, wrapAccessStore } = unkindStore();
    await using rig = await startReporting({ auth: true, wrapAccessStore });
    const token = newToken();
    await putTestUser(rig.rig.accessStore, "ann", { token, deviceGroups: { g: "ro" } });
    const watches = await Promise.all(Array.from({ length: 30 }, (_, index) => rig.watch({ deviceId: `d${index}` }, bearer(token))));
    const goOn = Promise.withResolvers<void>();
    unkind.waitFor = goOn.promise;
    unkind.reads.length = 0;
    await putTestUser(rig.rig.accessStore, "ann", { token, deviceGroups: { g: "ro" } });
    await rig.rig.accessChanged("user/ann");
    for (const [index, watch] of watches.entries()) watch.report(report(1, { deviceId: `d${index}` }));
    await new Promise<void>((resolve) => void rig.client.session.ping(() => resolve())); // they have come
    goOn.resolve();
    await eventually(() => watches.every(({ reported }) => reported.length === 1));
    assert.ok(watches.every(({ reported }) => reported[0]?.code === OK));
    // Once for the reports, and once for the look at the watches that the change had begun.
    assert.ok(unkind.reads.filter((name) => name === "getUser").length <= 2, unkind.reads.join(" "));
  });

  it("a report after the end of its session is refused, though nothing has named it, and its watch ends", async () => {
    const clock = new ManualClock(Date.now());
    await using rig = await startReporting({ auth: true, clock, cacheTimeMs: 3_600_000 });
    const token = newToken();
    await putTestUser(rig.rig.accessStore, "ann", { token, deviceGroups: { g: "ro" } });
    const session = newSessionToken();
    const times = { createdAt: clock.now(), expiresAt: clock.now() + 60_000 };
    const made = { user: "ann", boundTo: `user_token ${tokenHash(token)}`, madeFrom: "", ...times, ...sessionKey(session) };
    await rig.rig.accessStore.createSession(made, 20);
    const watch = await rig.watch({}, bearer(session));
    watch.report(report(1));
    await eventually(() => watch.reported.length === 1);
    await clock.advance(60_000);
    watch.report(report(2));
    await watch.closed;
    assert.deepEqual([watch.status, rig.rig.published.reports.map(({ seq }) => seq)], [UNAUTHENTICATED, [1n]]);
  });

  it("a report counts by the rights of its user as they are now", async () => {
    await using rig = await startReporting({ auth: true });
    const token = newToken();
    await putTestUser(rig.rig.accessStore, "ann", { token, deviceGroups: { g: "ro", h: "ro" } });
    const watch = await rig.watch({}, bearer(token));
    await putTestUser(rig.rig.accessStore, "ann", { token, deviceGroups: { g: "ro" } });
    await rig.rig.accessChanged("user_group/ann");
    watch.report(report(1, { deviceGroup: "h" }));
    watch.report(report(2));
    await eventually(() => watch.reported.length === 2);
    assert.deepEqual(
      watch.reported.map(({ code }) => code),
      [PERMISSION_DENIED, OK],
    );
  });
});

import { strict as assert } from "node:assert";
import { TargetState } from "../../../../gen/nebula/v1/report_pb.ts";
import { ManualClock } from "../../../clock/manual-clock.ts";
import { readAll } from "../../../testing/read-all.ts";
import { SAMPLE_TIME_MS, sampleReport } from "../../../testing/sample-report.ts";
import { saveReports, statusRow, storedReport } from "../../../testing/save-reports.ts";
import { requireServer } from "../../../testing/servers.ts";
import { createTestKeyspace, type TestKeyspace } from "../../../testing/test-keyspace.ts";
import { describePresenceStore } from "../../contracts/presence-contract.ts";
import { describeReportHistory } from "../../contracts/report-history-contract.ts";
import { describeReportStore, freshNames } from "../../contracts/report-store-contract.ts";
import { PRESENCE_KEPT_MS, SHARD_KEPT_MS } from "../../presence-store.ts";
import type { DeviceChange, ReportStore } from "../../report-store.ts";
import type { ReportClient } from "./report-rows.ts";
import { createCassandraReportStore } from "./report-store.ts";

const REPORT_TTL_MS = 26 * 3_600_000;

describe("report store cassandra:", () => {
  let keyspace: TestKeyspace | undefined;
  before(async function () {
    const server = await requireServer(this, "cassandra");
    keyspace = await createTestKeyspace(server);
  });
  after(async () => {
    await keyspace?.[Symbol.asyncDispose]();
  });

  const clock = new ManualClock(SAMPLE_TIME_MS + 2 * 3_600_000);
  /** A store on the keyspace that all these tests share. */
  function open(client: ReportClient = keyspace?.client ?? assert.fail("there is no keyspace"), mostLookedAt = 5000): ReportStore {
    return createCassandraReportStore({ client, reportTtlMs: REPORT_TTL_MS, clock, mostLookedAt });
  }

  describeReportStore("cassandra:", async () => open(), { runs: 10 });
  describeReportHistory("cassandra:", async () => open(), { runs: 15 });
  describePresenceStore("cassandra:", async () => open(), { runs: 10 });

  it("rows of presence and shards have a TTL that a later write renews", async () => {
    const [store, { device, group }] = [open(), freshNames()];
    const client = keyspace?.client ?? assert.fail("there is no keyspace");
    const row = { deviceGroup: group("shops"), deviceId: device(1), shardBoot: "b-1", ended: false, atMs: 5 };
    const ttlOf = async () => {
      const query = { cql: "SELECT TTL(version) AS ttl FROM presence_of_device WHERE device_id = ?", params: [device(1)] };
      return Number((await client.execute(query, { table: "presence_of_device", kind: "read" })).rows[0]?.ttl);
    };
    for (const stream of [1, 2]) {
      await store.savePresence([{ ...row, stream }]);
      const [ttl, most] = [await ttlOf(), PRESENCE_KEPT_MS / 1000];
      assert.ok(ttl > most - 60 && ttl <= most, `${ttl} s`);
    }
    await store.markShard({ boot: device(1), name: "m-1", address: "m-1:50051", seenMs: SAMPLE_TIME_MS });
    const query = { cql: "SELECT TTL(seen_ms) AS ttl FROM shard WHERE part = 'nebula' AND boot = ?", params: [device(1)] };
    const ttl = Number((await client.execute(query, { table: "shard", kind: "read" })).rows[0]?.ttl);
    assert.ok(ttl > SHARD_KEPT_MS / 1000 - 60 && ttl <= SHARD_KEPT_MS / 1000, `${ttl} s`);
  });

  /** A client whose process is killed before the statement of this number, from 1; statements are sent one at a time. */
  function cutBefore(statement: number): ReportClient & { readonly sent: number } {
    const real = keyspace?.client ?? assert.fail("there is no keyspace");
    let sent = 0;
    const execute: ReportClient["execute"] = async (query, options) => {
      if (options.kind === "write" && ++sent >= statement) throw new Error("killed");
      return real.execute(query, options);
    };
    return {
      execute,
      async executeMany(cql, values, options) {
        const answers = [];
        for (const params of values) answers.push((await execute({ cql, params }, options)).rows);
        return answers;
      },
      get sent() {
        return sent;
      },
    };
  }

  /** Reads all that a reader sees of the devices of a test. */
  async function seen(store: ReportStore, names: ReturnType<typeof freshNames>, devices: readonly string[]) {
    const rows = await store.statuses(devices);
    const ofOneHour = { receivedFromMs: SAMPLE_TIME_MS, receivedUntilMs: SAMPLE_TIME_MS + 3_600_000 };
    const groups = ["shops", "offices", "tills"].map((name) => names.group(name));
    const listed = await Promise.all(groups.map((deviceGroup) => readAll((page) => store.listDevices({ deviceGroup }, page), 10)));
    const summaries = await Promise.all(groups.map((deviceGroup) => readAll((page) => store.listSummaries(deviceGroup, page), 100)));
    const history = await Promise.all(groups.map((deviceGroup) => readAll((page) => store.listReports({ deviceGroup, ...ofOneHour }, page), 10)));
    return {
      rows: devices.map((id) => [id, rows.get(id)?.device.report?.seq, rows.get(id)?.deleted ?? false, rows.get(id)?.historyBytes]),
      summaries: summaries.flat().map(({ deviceGroup, deviceId, writtenAt }) => `${deviceGroup}/${deviceId}@${writtenAt}`),
      listed: listed.flat().map(({ deviceId, deviceGroup }) => `${deviceGroup}/${deviceId}`),
      history: history.flat().map(({ id }) => id),
      counted: await Promise.all(groups.map((group) => store.countWithoutToken(group, 10))),
    };
  }

  it("a save that was cut before any of its statements and repeated leaves the same rows as one that was not cut", async () => {
    /** A device that is new, one that moves through two groups, one that was deleted and one that stays so. */
    async function prepare() {
      const names = freshNames();
      const store = open();
      const report = (number: number, group: string, seq: bigint, state: TargetState = TargetState.APPLIED) =>
        sampleReport({ deviceId: names.device(number), deviceGroup: names.group(group), seq, state, receivedMs: SAMPLE_TIME_MS + Number(seq) });
      await saveReports(store, { reports: [2, 3, 4].map((number) => storedReport(report(number, "shops", 1n))) });
      for (const number of [3, 4]) await store.deleteDevice(names.device(number));
      const before = await store.statuses([1, 2, 3, 4].map(names.device));
      const row = (number: number, group: string, seq: bigint) => ({
        ...statusRow(report(number, group, seq), BigInt(SAMPLE_TIME_MS + 10) * 1000n),
        withoutToken: true,
      });
      const marker = before.get(names.device(4)) ?? assert.fail("there is no marker");
      const change = (number: number, after: DeviceChange["row"], ...reports: ReturnType<typeof report>[]): DeviceChange => ({
        before: before.get(names.device(number)),
        row: after,
        reports: reports.map((each) => storedReport(each)),
      });
      const changes = [
        change(1, row(1, "shops", 2n), report(1, "shops", 1n), report(1, "shops", 2n)),
        change(2, row(2, "tills", 3n), report(2, "offices", 2n), report(2, "tills", 3n)),
        change(3, row(3, "shops", 2n), report(3, "shops", 2n)),
        change(4, { ...marker, writtenAt: marker.writtenAt + 1n }, report(4, "shops", 9n)),
      ];
      return { names, store, changes, devices: [1, 2, 3, 4].map(names.device) };
    }
    const plain = (value: unknown, names: ReturnType<typeof freshNames>) =>
      JSON.stringify(value, (_, each) => (typeof each === "bigint" ? String(each) : each instanceof Map ? [...each] : each)).replaceAll(
        names.device(0).slice("device-0".length),
        "",
      );

    const whole = await prepare();
    const counting = cutBefore(Number.POSITIVE_INFINITY);
    await open(counting).save(whole.changes);
    const expected = await seen(whole.store, whole.names, whole.devices);
    assert.deepEqual(expected.counted, [2, 0, 1]);
    assert.equal(expected.history.length, 9);
    assert.ok(counting.sent >= 20, `${counting.sent} statements`);
    for (let statement = 1; statement <= counting.sent; statement++) {
      const cut = await prepare();
      await assert.rejects(open(cutBefore(statement)).save(cut.changes), /killed/);
      const again = await cut.store.statuses(cut.devices);
      const done = cut.changes.filter(({ row }) => again.get(row.device.deviceId)?.writtenAt === row.writtenAt);
      assert.ok(done.length < cut.changes.length, "the row that is written last was written before the cut");
      for (const { row, reports } of done) {
        const { items } = await cut.store.listReports({ deviceId: row.device.deviceId }, { limit: 10 });
        assert.ok(
          reports.every(({ id }) => items.some((item) => item.id === id)),
          `the row was written before the history, cut before statement ${statement}`,
        );
      }
      await cut.store.save(cut.changes);
      const { history, ...rest } = await seen(cut.store, cut.names, cut.devices);
      const { history: all, ...others } = expected;
      assert.equal(plain(rest, cut.names), plain(others, whole.names), `cut before statement ${statement}`);
      assert.equal(history.length, all.length);
      assert.equal(new Set(history).size, history.length);
    }
  });

  it("two reporters that write parts of one log at once keep the newest, in any order", async () => {
    const names = freshNames();
    const [store, other] = [open(), open()];
    const report = (seq: number) =>
      sampleReport({
        deviceId: names.device(1),
        deviceGroup: names.group(seq % 2 === 0 ? "shops" : "offices"),
        seq: BigInt(seq),
        receivedMs: SAMPLE_TIME_MS + seq,
      });
    const upTo = (last: number, group?: string): DeviceChange => ({
      before: group === undefined ? undefined : statusRow(report(last - 1), BigInt(SAMPLE_TIME_MS + last - 1) * 1000n),
      row: { ...statusRow(report(last), BigInt(SAMPLE_TIME_MS + last) * 1000n), withoutToken: true },
      reports: Array.from({ length: last }, (_, index) => storedReport(report(index + 1))),
    });
    await Promise.all([store.save([upTo(7)]), other.save([upTo(4)]), store.save([upTo(2)]), other.save([upTo(6)])]);
    await store.save([upTo(3)]);
    assert.equal((await store.getDevice(names.device(1)))?.report?.seq, 7n);
    assert.deepEqual((await seen(store, names, [names.device(1)])).listed, [`${names.group("offices")}/${names.device(1)}`]);
    assert.equal((await readAll((page) => store.listReports({ deviceId: names.device(1) }, page), 10)).length, 7);
  });

  it("a row that a component of an earlier version wrote has the summary of the device's row, not the one that was there before", async () => {
    const names = freshNames();
    const { client } = keyspace ?? assert.fail();
    const store = open();
    const deviceGroup = names.group("shops");
    const row = (number: number, seq: bigint) => statusRow(sampleReport({ deviceId: names.device(number), deviceGroup, seq }), 10n + seq);
    await saveReports(store, { statuses: [row(1, 1n), row(2, 1n), row(3, 1n)] });
    // an earlier version writes all columns but the summary: over one of its time, and over a newer one
    const earlier: ReportClient = {
      ...client,
      execute: (query, options) => client.execute(query, options),
      executeMany: (cql, values, options) =>
        cql.includes("device_summary (")
          ? client.executeMany(
              "INSERT INTO device_summary (device_group, bucket, device_id, state, without_token, bytes) VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?",
              values.map((value) => [...value.slice(0, 6), ...value.slice(7)]),
              options,
            )
          : client.executeMany(cql, values, options),
    };
    await saveReports(open(earlier), { statuses: [row(1, 2n), row(4, 1n)] });
    const expected = [
      [names.device(1), 2n, 12n],
      [names.device(2), 1n, 11n],
      [names.device(3), 1n, 11n],
      [names.device(4), 1n, 11n],
    ];
    const listed = await readAll((page) => store.listSummaries(deviceGroup, page), 2);
    assert.deepEqual(
      listed.map(({ deviceId, seq, writtenAt }) => [deviceId, seq, writtenAt]),
      expected,
    );
    const read = await store.summaries(deviceGroup, [1, 2, 3, 4].map(names.device));
    assert.deepEqual(
      [1, 2, 3, 4].map((number) => read.get(names.device(number))).map((summary) => [summary?.deviceId, summary?.seq, summary?.writtenAt]),
      expected,
    );
    assert.deepEqual(
      (await readAll((page) => store.listVersions(deviceGroup, page), 2)).map(({ deviceId, writtenAt }) => [deviceId, writtenAt]),
      expected.map(([id, , version]) => [id, version]),
    );
  });

  it("rows and reports have the time that they are kept", async () => {
    const names = freshNames();
    const { client } = keyspace ?? assert.fail();
    const store = open();
    const report = sampleReport({ deviceId: names.device(1), deviceGroup: names.group("shops") });
    await saveReports(store, { reports: [storedReport(report)], statuses: [{ ...statusRow(report), withoutToken: true }] });
    await saveReports(store, { statuses: [statusRow(sampleReport({ deviceId: names.device(2) }))] });
    await saveReports(store, { statuses: [statusRow(sampleReport({ deviceId: names.device(3) }))] });
    await store.deleteDevice(names.device(3));
    const ttl = async (cql: string, ...params: unknown[]) => {
      const { rows } = await client.execute({ cql, params }, { table: "test", kind: "read" });
      return rows[0]?.ttl;
    };
    const near = (value: unknown, seconds: number) => {
      assert.ok(typeof value === "number" && value <= seconds && value > seconds - 60, `${String(value)} instead of ${seconds} s`);
    };
    near(await ttl("SELECT TTL(body) AS ttl FROM report WHERE device_id = ?", names.device(1)), 24 * 3600);
    near(await ttl("SELECT TTL(state) AS ttl FROM device WHERE device_id = ?", names.device(1)), 30 * 86_400 - 2 * 3600);
    assert.equal(await ttl("SELECT TTL(state) AS ttl FROM device WHERE device_id = ?", names.device(2)), null);
    near(await ttl("SELECT TTL(state) AS ttl FROM device WHERE device_id = ?", names.device(3)), 26 * 3600);
  });

  it("a page ends early, with a next one, after many reports or devices that the filter leaves out", async () => {
    const names = freshNames();
    const store = open(keyspace?.client, 50);
    const reports = Array.from({ length: 120 }, (_, index) =>
      storedReport(
        sampleReport({
          deviceId: names.device(100 + index),
          deviceGroup: names.group("shops"),
          seq: BigInt(index + 1),
          receivedMs: SAMPLE_TIME_MS + index,
          state: index === 70 ? TargetState.FAILED : TargetState.APPLIED,
        }),
      ),
    );
    await saveReports(store, { reports });
    const filter = { deviceGroup: names.group("shops"), state: TargetState.FAILED };
    const first = await store.listReports(filter, { limit: 10 });
    const devices = await store.listDevices(filter, { limit: 10 });
    assert.deepEqual([first.items, devices.items], [[], []]);
    assert.ok(devices.next !== undefined);
    assert.deepEqual(
      (await readAll((page) => store.listDevices(filter, page), 10)).map(({ deviceId }) => deviceId),
      [names.device(170)],
    );
    const second = await store.listReports(filter, { limit: 10, after: first.next ?? assert.fail("the first page read everything") });
    assert.deepEqual(
      second.items.map(({ report }) => report?.seq),
      [71n],
    );
  });
});

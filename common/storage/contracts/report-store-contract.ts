import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { equals } from "@bufbuild/protobuf";
import fc from "fast-check";
import { type Device, DeviceSchema } from "../../../gen/nebula/v1/device_pb.ts";
import { type Report, TargetState } from "../../../gen/nebula/v1/report_pb.ts";
import { isNebulaError } from "../../errors/nebula-error.ts";
import { readAll } from "../../testing/read-all.ts";
import { SAMPLE_TIME_MS, sampleReport } from "../../testing/sample-report.ts";
import { saveReports, statusRow, storedReport } from "../../testing/save-reports.ts";
import type { DeviceFilter, ReportStore } from "../report-store.ts";
import { describeDeviceRecords } from "./device-records-contract.ts";
import { describeSummaries } from "./summaries-contract.ts";

/** A store that is opened once, before the tests of a suite, and holds what they all wrote: each test uses fresh names. */
export function openedOnce<T extends AsyncDisposable>(open: () => Promise<T>): () => T {
  let opened: T | undefined;
  before(async () => {
    opened = await open();
  });
  after(async () => {
    await opened?.[Symbol.asyncDispose]();
  });
  return () => opened ?? assert.fail("the store is not open");
}

/** Names that no other test uses. */
export function freshNames() {
  const suffix = randomUUID().slice(0, 8);
  return { device: (number: number) => `device-${number}-${suffix}`, group: (name: string) => `${name}-${suffix}` };
}

/** The contract of the status rows of a ReportStore. Its clock says SAMPLE_TIME_MS + 2 hours. @param runs of each property */
export function describeReportStore(name: string, open: () => Promise<ReportStore>, { runs = 25 } = {}): void {
  describe(`report store ${name} status rows`, () => {
    const opened = openedOnce(open);

    describeDeviceRecords(opened, freshNames);
    describeSummaries(opened, freshNames, { runs });

    it("a new report store has no devices", async () => {
      const [store, { device, group }] = [opened(), freshNames()];
      assert.equal((await store.statuses([device(1)])).size, 0);
      assert.equal((await store.statuses([])).size, 0);
      assert.equal(await store.getDevice(device(1)), undefined);
      assert.deepEqual(await store.listDevices({ deviceGroup: group("shops") }, { limit: 10 }), { items: [], next: undefined });
      assert.equal(await store.deleteDevice(device(1)), undefined);
    });

    it("a status row is read back as written", async () => {
      const [store, { device }] = [opened(), freshNames()];
      const rows = [device(1), device(2)].map((deviceId) => statusRow(sampleReport({ deviceId }), BigInt(SAMPLE_TIME_MS) * 1000n + 7n));
      await saveReports(store, { statuses: rows });
      const read = await store.statuses([device(2), device(1), device(3)]);
      assert.deepEqual([...read.keys()].sort(), [device(1), device(2)]);
      for (const row of rows) {
        const { device: newest, writtenAt, deleted } = read.get(row.device.deviceId) ?? assert.fail("the row is missing");
        assert.ok(equals(DeviceSchema, newest, row.device));
        assert.deepEqual([writtenAt, deleted ?? false], [row.writtenAt, false]);
        assert.ok(equals(DeviceSchema, (await store.getDevice(row.device.deviceId)) ?? assert.fail("the device is missing"), row.device));
      }
    });

    it("a write with an older version changes nothing, neither the row nor the lists", async () => {
      const [store, { device, group }] = [opened(), freshNames()];
      const at = (seq: bigint, name: string, state: TargetState = TargetState.APPLIED) =>
        sampleReport({ deviceId: device(1), deviceGroup: group(name), seq, state });
      await saveReports(store, { statuses: [statusRow(at(2n, "shops"), 20n)] });
      await store.save([{ before: undefined, row: statusRow(at(1n, "offices", TargetState.FAILED), 10n), reports: [] }]);
      assert.equal((await store.getDevice(device(1)))?.report?.seq, 2n);
      assert.deepEqual((await store.listDevices({ deviceGroup: group("offices") }, { limit: 10 })).items, []);
      assert.equal((await store.listDevices({ deviceGroup: group("shops"), state: TargetState.APPLIED }, { limit: 10 })).items.length, 1);
      await saveReports(store, { statuses: [statusRow(at(3n, "shops"), 21n)] });
      assert.equal((await store.getDevice(device(1)))?.report?.seq, 3n);
    });

    it("a device is held once when it comes under another group, and when the same change is written again", async () => {
      const [store, { device, group }] = [opened(), freshNames()];
      const before = statusRow(sampleReport({ deviceId: device(1), deviceGroup: group("shops") }), 1n);
      const row = statusRow(sampleReport({ deviceId: device(1), deviceGroup: group("offices") }), 2n);
      await saveReports(store, { statuses: [before] });
      for (let time = 0; time < 2; time++) await store.save([{ before, row, reports: [] }]);
      assert.deepEqual((await store.listDevices({ deviceGroup: group("shops") }, { limit: 10 })).items, []);
      assert.equal((await store.listDevices({ deviceGroup: group("offices") }, { limit: 10 })).items.length, 1);
      const all = await readAll((page) => store.listDevices({}, page), 1000);
      assert.equal(all.filter(({ deviceId }) => deviceId === device(1)).length, 1);
      assert.equal((await store.getDevice(device(1)))?.deviceGroup, group("offices"));
    });

    it("a deleted device leaves a marker that knows its boots, above its version, until the next status", async () => {
      const [store, { device, group }] = [opened(), freshNames()];
      const report = sampleReport({ deviceId: device(1), deviceGroup: group("shops"), seq: 4n });
      await saveReports(store, { reports: [storedReport(report)], statuses: [statusRow(report, 5n)] });
      const answered = await store.deleteDevice(device(1));
      assert.deepEqual([answered?.deleted, answered?.writtenAt], [true, 6n]);
      assert.equal(await store.getDevice(device(1)), undefined);
      assert.deepEqual((await store.listDevices({ deviceGroup: group("shops") }, { limit: 10 })).items, []);
      assert.equal(await store.deleteDevice(device(1)), undefined);
      assert.equal((await store.listReports({ deviceId: device(1) }, { limit: 10 })).items.length, 1);
      const marker = (await store.statuses([device(1)])).get(device(1)) ?? assert.fail("there is no marker");
      assert.deepEqual([marker.deleted, marker.writtenAt, marker.device.deviceGroup], [true, 6n, group("shops")]);
      const { boot, seq, apps } = marker.device.report ?? assert.fail("the marker knows no boot");
      assert.deepEqual([boot, seq, apps], [report.boot, 4n, []]);
      await store.save([{ before: undefined, row: statusRow(sampleReport({ ...report, seq: 5n }), 5n), reports: [] }]);
      assert.equal(await store.getDevice(device(1)), undefined, "an older version brought the device back");
      await saveReports(store, { statuses: [statusRow(sampleReport({ ...report, seq: 5n }), 7n)] });
      assert.equal((await store.getDevice(device(1)))?.report?.seq, 5n);
      assert.equal((await store.listDevices({ deviceGroup: group("shops") }, { limit: 10 })).items.length, 1);
      assert.equal((await store.statuses([device(1)])).get(device(1))?.deleted ?? false, false);
    });

    it("a marker that a late report writes is kept", async () => {
      const [store, { device }] = [opened(), freshNames()];
      const report = sampleReport({ deviceId: device(1), seq: 4n });
      await saveReports(store, { statuses: [statusRow(report, 5n)] });
      await store.deleteDevice(device(1));
      const before = (await store.statuses([device(1)])).get(device(1)) ?? assert.fail("there is no marker");
      await store.save([{ before, row: { ...before, writtenAt: 9n }, reports: [storedReport(sampleReport({ ...report, boot: "boot-0" }))] }]);
      const after = (await store.statuses([device(1)])).get(device(1));
      assert.deepEqual([after?.deleted, after?.writtenAt], [true, 9n]);
      assert.equal(await store.getDevice(device(1)), undefined);
    });

    it("the devices of a group that have no token of their own are counted, up to the limit of the call", async () => {
      const [store, { device, group }] = [opened(), freshNames()];
      const row = (number: number, name: string, withoutToken: boolean, writtenAt = 1n) => ({
        ...statusRow(sampleReport({ deviceId: device(number), deviceGroup: group(name) }), writtenAt),
        withoutToken,
      });
      const rows = [row(1, "shops", true), row(2, "shops", true), row(3, "shops", false), row(4, "offices", true)];
      await saveReports(store, { statuses: [...rows, statusRow(sampleReport({ deviceId: device(5), deviceGroup: group("shops") }))] });
      const count = (name: string, most: number) => store.countWithoutToken(group(name), most);
      assert.deepEqual([await count("shops", 10), await count("shops", 1)], [2, 1]);
      assert.deepEqual([await count("offices", 10), await count("none", 10)], [1, 0]);
      const read = await store.statuses([device(1), device(3)]);
      assert.deepEqual([read.get(device(1))?.withoutToken ?? false, read.get(device(3))?.withoutToken ?? false], [true, false]);
      await saveReports(store, { statuses: [row(1, "shops", false, 2n), row(2, "offices", true, 2n)] });
      assert.deepEqual([await count("shops", 10), await count("offices", 10)], [0, 2]);
      await store.deleteDevice(device(4));
      assert.equal(await count("offices", 10), 1);
    });

    it("the groups that have devices without a token of their own are listed, sorted, from a name on", async () => {
      const [store, { device, group }] = [opened(), freshNames()];
      const row = (number: number, name: string, withoutToken: boolean) => ({
        ...statusRow(sampleReport({ deviceId: device(number), deviceGroup: group(name) })),
        withoutToken,
      });
      await saveReports(store, { statuses: [row(1, "shops", true), row(2, "shops", true), row(3, "tills", false), row(4, "offices", true)] });
      const names: string[] = [];
      for (let after: string | undefined = ""; after !== undefined; after = names.at(-1) === after ? undefined : names.at(-1)) {
        names.push(...(await store.groupsWithoutToken({ after, limit: 2 })));
      }
      assert.deepEqual(names, names.toSorted());
      const own = [group("offices"), group("shops"), group("tills")];
      assert.deepEqual(
        names.filter((each) => own.includes(each)),
        own.slice(0, 2),
      );
      assert.deepEqual(
        (await store.groupsWithoutToken({ after: group("offices"), limit: 1000 })).filter((each) => own.includes(each)),
        [group("shops")],
      );
    });

    it("devices are listed by group and id, with each filter, in pages of any size, each once", async () => {
      const anyDevice = fc.record({ number: fc.integer({ min: 0, max: 30 }), name: anyGroup, state: anyState });
      const anyFilter = fc.record({ name: optional(anyGroup), state: optional(anyState) });
      const store = opened();
      await fc.assert(
        fc.asyncProperty(
          fc.uniqueArray(anyDevice, { selector: (device) => device.number }),
          anyFilter,
          fc.integer({ min: 1, max: 7 }),
          async (devices, { name, state }, limit) => {
            const { device, group } = freshNames();
            const rows = devices.map(({ number, name: of, state: at }) =>
              statusRow(sampleReport({ deviceId: device(number), deviceGroup: group(of), state: at })),
            );
            await saveReports(store, { statuses: rows });
            const filter = { ...(name !== undefined && { deviceGroup: group(name) }), ...(state !== undefined && { state }) };
            // the list of all groups holds the devices of the other runs, too
            const read = await readAll((page) => store.listDevices(filter, page), name === undefined ? limit * 100 : limit);
            const expected = rows.map((row) => row.device).filter(({ report }) => report !== undefined && matches(report, filter));
            const own = new Set(rows.map((row) => row.device.deviceId));
            assert.deepEqual(
              read.filter(({ deviceId }) => own.has(deviceId)).map(place),
              expected.map(place).sort((a, b) => compare(a[0], b[0]) || compare(a[1], b[1])),
            );
          },
        ),
        { numRuns: runs },
      );
    });

    it("a page token that the store did not make is refused, by its name", async () => {
      const [store, { device, group }] = [opened(), freshNames()];
      const report = (number: number) => sampleReport({ deviceId: device(number), deviceGroup: group("shops"), seq: BigInt(number) });
      await saveReports(store, { reports: [storedReport(report(1)), storedReport(report(2))] });
      const ofReports = (await store.listReports({}, { limit: 1 })).next ?? assert.fail("there is a second page");
      const ofDevices = (await store.listDevices({}, { limit: 1 })).next ?? assert.fail("there is a second page");
      assert.match(ofReports, /^[0-9a-f]{24}$/);
      const isRefusal = (error: unknown) => isNebulaError(error, "invalid_argument") && error.violations[0]?.field === "page_token";
      for (const bad of ["x", "?", "bnVsbA", `${ofReports}=`, "A".repeat(100_000)]) {
        await assert.rejects(store.listReports({}, { limit: 1, after: bad }), isRefusal, bad);
        await assert.rejects(store.listDevices({}, { limit: 1, after: bad }), isRefusal, bad);
        await assert.rejects(store.listSummaries("shops", { limit: 1, after: bad }), isRefusal, bad);
        await assert.rejects(store.listVersions("shops", { limit: 1, after: bad }), isRefusal, bad);
      }
      await assert.rejects(store.listReports({}, { limit: 1, after: ofDevices }), isRefusal);
      await assert.rejects(store.listDevices({}, { limit: 1, after: ofReports }), isRefusal);
    });

    it("an aborted signal rejects with its reason, and nothing is done", async () => {
      const [store, { device }] = [opened(), freshNames()];
      const gone = AbortSignal.abort(new Error("the caller has gone"));
      const report = sampleReport({ deviceId: device(1) });
      await assert.rejects(store.save([{ before: undefined, row: statusRow(report), reports: [storedReport(report)] }], gone), /the caller has gone/);
      assert.equal((await store.listReports({ deviceId: device(1) }, { limit: 1 })).items.length, 0);
      await saveReports(store, { statuses: [statusRow(report)] });
      await assert.rejects(store.deleteDevice(device(1), gone), /the caller has gone/);
      assert.ok(await store.getDevice(device(1)));
      for (const call of [
        () => store.statuses([device(1)], gone),
        () => store.getDevice(device(1), gone),
        () => store.listReports({}, { limit: 1 }, gone),
        () => store.listDevices({}, { limit: 1 }, gone),
        () => store.countWithoutToken("shops", 1, gone),
        () => store.groupsWithoutToken({ after: "", limit: 1 }, gone),
        () => store.listSummaries("shops", { limit: 1 }, gone),
        () => store.listVersions("shops", { limit: 1 }, gone),
        () => store.summaries("shops", [device(1)], gone),
        () => store.groups({ after: "", limit: 1 }, gone),
      ])
        await assert.rejects(call(), /the caller has gone/);
    });
  });
}

const anyGroup = fc.constantFrom("shops", "offices");
const anyState = fc.constantFrom(TargetState.APPLIED, TargetState.WORKING, TargetState.FAILED);

function optional<T>(value: fc.Arbitrary<T>) {
  return fc.option(value, { nil: undefined });
}

function matches(report: Report, { deviceGroup, state }: DeviceFilter): boolean {
  return (deviceGroup === undefined || report.deviceGroup === deviceGroup) && (state === undefined || report.state === state);
}

/** Order of strings by their bytes, as stores have it. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function place({ deviceGroup, deviceId }: Device): readonly [deviceGroup: string, deviceId: string] {
  return [deviceGroup, deviceId];
}

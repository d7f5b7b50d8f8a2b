import { strict as assert } from "node:assert";
import { readAll } from "../../testing/read-all.ts";
import { SAMPLE_TIME_MS, sampleReport } from "../../testing/sample-report.ts";
import { saveReports, statusRow, storedReport } from "../../testing/save-reports.ts";
import { recordText } from "../movable.ts";
import { type DeviceRecord, markerOf, type ReportStore } from "../report-store.ts";
import { collect } from "./records.ts";

type Names = { device: (number: number) => string; group: (name: string) => string };

/** The contract of ReportStore for a move to another store, while nothing else uses it. Its clock says SAMPLE_TIME_MS + 2 hours. */
export function describeDeviceRecords(opened: () => ReportStore, freshNames: () => Names): void {
  describe("records for another store", () => {
    let store: ReportStore;
    let names: Names;
    beforeEach(() => {
      store = opened();
      names = freshNames();
    });
    const reportsOf = (deviceId: string, count: number) =>
      Array.from({ length: count }, (_, index) =>
        storedReport(
          sampleReport({ deviceId, deviceGroup: names.group("shops"), seq: BigInt(index + 1), receivedMs: SAMPLE_TIME_MS + index * 1000 }),
          {
            originalJson: index === 0 ? '{"a":"ü"}' : "",
          },
        ),
      );
    const own = (...numbers: number[]) => collect(store.records.everything("device"), ({ deviceId }) => numbers.map(names.device).includes(deviceId));

    /** A device with all that a store may know of it. */
    function recordOf(deviceId: string, count = 3): DeviceRecord {
      const reports = reportsOf(deviceId, count);
      const last = reports.at(-1)?.report ?? assert.fail();
      return { kind: "device", deviceId, row: { ...statusRow(last, BigInt(SAMPLE_TIME_MS) * 1000n + 5n), withoutToken: true }, reports };
    }

    it("devices are handed over with their reports, each once, those that were deleted included", async () => {
      const kept = recordOf(names.device(1));
      const [gone] = reportsOf(names.device(2), 1);
      await saveReports(store, { statuses: kept.row === undefined ? [] : [kept.row], reports: [...kept.reports, gone ?? assert.fail()] });
      await store.deleteDevice(names.device(2));
      const found = await own(1, 2);
      assert.deepEqual(found.map(({ deviceId }) => deviceId).sort(), [names.device(1), names.device(2)]);
      const [one, two] = [1, 2].map((number) => found.find(({ deviceId }) => deviceId === names.device(number)) ?? assert.fail());
      assert.equal(recordText(one), recordText(kept));
      assert.deepEqual([two?.row?.deleted, two?.reports.map(({ id }) => id)], [true, [gone?.id]]);
      for (const record of found) assert.equal(recordText(await store.records.counterpart(record)), recordText(record));
      assert.equal(await store.records.counterpart(recordOf(names.device(3))), undefined);
    });

    it("an adopted device has its status, lists, counts and history, and an older row loses against it", async () => {
      const record = recordOf(names.device(1));
      for (let time = 0; time < 2; time++) await store.records.adopt(record);
      assert.equal(recordText(await store.records.counterpart(record)), recordText(record));
      const deviceGroup = names.group("shops");
      assert.deepEqual(
        (await store.listDevices({ deviceGroup }, { limit: 9 })).items.map(({ deviceId }) => deviceId),
        [names.device(1)],
      );
      assert.equal(await store.countWithoutToken(deviceGroup, 9), 1);
      const ids = record.reports.map(({ id }) => id);
      for (const filter of [{ deviceGroup }, { deviceId: names.device(1) }]) {
        assert.deepEqual(
          (await readAll((page) => store.listReports({ ...filter, receivedFromMs: SAMPLE_TIME_MS }, page), 2)).map(({ id }) => id),
          ids,
        );
      }
      const older = statusRow(sampleReport({ deviceId: names.device(1), deviceGroup: names.group("offices") }), 5n);
      await store.save([{ before: undefined, row: older, reports: [] }]);
      assert.equal((await store.getDevice(names.device(1)))?.deviceGroup, deviceGroup);
    });

    it("markers of deleted devices, and reports that outlived their status, are adopted", async () => {
      const { row } = recordOf(names.device(1));
      const marker = { kind: "device", deviceId: names.device(1), row: markerOf(row ?? assert.fail()), reports: [] } as const;
      const outlived = { ...recordOf(names.device(2)), row: undefined };
      for (const record of [marker, outlived]) {
        await store.records.adopt(record);
        assert.equal(recordText(await store.records.counterpart(record)), recordText(record));
      }
      assert.equal(await store.getDevice(names.device(1)), undefined);
      assert.equal((await store.statuses([names.device(1), names.device(2)])).size, 1);
      assert.equal((await own(1, 2)).length, 2);
    });

    it("a device of which only a part was put before is completed", async () => {
      const record = recordOf(names.device(1), 5);
      await store.records.adopt({ ...record, row: undefined, reports: record.reports.slice(0, 2) });
      await store.records.adopt(record);
      assert.equal(recordText(await store.records.counterpart(record)), recordText(record));
      const listed = await readAll((page) => store.listReports({ deviceGroup: names.group("shops"), receivedFromMs: SAMPLE_TIME_MS }, page), 10);
      assert.equal(listed.length, 5);
    });
  });
}

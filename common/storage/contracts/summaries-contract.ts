import { strict as assert } from "node:assert";
import { equals } from "@bufbuild/protobuf";
import fc from "fast-check";
import { type DeviceSummary, DeviceSummarySchema } from "../../../gen/nebula/v1/device_pb.ts";
import { readAll } from "../../testing/read-all.ts";
import { SAMPLE_TIME_MS, sampleReport } from "../../testing/sample-report.ts";
import { saveReports, statusRow } from "../../testing/save-reports.ts";
import { summaryOf } from "../device-summary.ts";
import type { ReportStore, StatusRow } from "../report-store.ts";

type Names = { device: (number: number) => string; group: (name: string) => string };

const GROUPS = ["offices", "shops"] as const;

/** The contract of ReportStore for the summaries of devices. @param runs of each property */
export function describeSummaries(opened: () => ReportStore, freshNames: () => Names, { runs }: { runs: number }): void {
  describe("summaries of devices", () => {
    const list = (deviceGroup: string, limit = 3) => readAll((page) => opened().listSummaries(deviceGroup, page), limit);

    function assertSame(summaries: readonly DeviceSummary[], rows: readonly StatusRow[]): void {
      const expected = rows.map((row) => summaryOf(row) ?? assert.fail("the row has no summary"));
      assert.deepEqual(
        summaries.map(({ deviceId, writtenAt }) => [deviceId, writtenAt]),
        expected.map(({ deviceId, writtenAt }) => [deviceId, writtenAt]),
      );
      for (const [index, summary] of summaries.entries()) assert.ok(equals(DeviceSummarySchema, summary, expected[index] ?? assert.fail()));
    }

    it("summaries are those of the rows, in any order of saves, moves between groups and deletions", async () => {
      const anyStep = fc.record({ number: fc.integer({ min: 0, max: 6 }), group: fc.constantFrom(...GROUPS), deletes: fc.boolean() });
      await fc.assert(
        fc.asyncProperty(fc.array(anyStep, { maxLength: 20 }), fc.integer({ min: 1, max: 4 }), async (steps, limit) => {
          const [store, { device, group }] = [opened(), freshNames()];
          for (const [index, step] of steps.entries()) {
            const deviceId = device(step.number);
            const version = (await store.statuses([deviceId])).get(deviceId)?.writtenAt ?? 0n;
            if (step.deletes) await store.deleteDevice(deviceId);
            else
              await saveReports(store, {
                statuses: [statusRow(sampleReport({ deviceId, deviceGroup: group(step.group), seq: BigInt(index + 1) }), version + 1n)],
              });
          }
          const rows = [...(await store.statuses([0, 1, 2, 3, 4, 5, 6].map(device))).values()].filter(({ deleted }) => deleted !== true);
          for (const name of GROUPS) {
            const ofGroup = rows
              .filter((row) => row.device.deviceGroup === group(name))
              .sort((a, b) => compare(a.device.deviceId, b.device.deviceId));
            assertSame(await list(group(name), limit), ofGroup);
            assert.deepEqual(
              await readAll((page) => store.listVersions(group(name), page), limit).then((all) => all.map((each) => [each.deviceId, each.writtenAt])),
              ofGroup.map((row) => [row.device.deviceId, row.writtenAt]),
            );
            const found = await store.summaries(group(name), [6, 5, 4, 3, 2, 1, 0].map(device));
            assertSame(
              [...found.values()].sort((a, b) => compare(a.deviceId, b.deviceId)),
              ofGroup,
            );
          }
        }),
        { numRuns: runs },
      );
    });

    it("a summary of an older version changes nothing", async () => {
      const [store, { device, group }] = [opened(), freshNames()];
      const row = (seq: bigint) => statusRow(sampleReport({ deviceId: device(1), deviceGroup: group("shops"), seq }), 10n * seq);
      await saveReports(store, { statuses: [row(2n)] });
      await store.save([{ before: undefined, row: row(1n), reports: [] }]);
      assertSame(await list(group("shops")), [row(2n)]);
    });

    it("a device that another store handed over has its summary", async () => {
      const [store, { device, group }] = [opened(), freshNames()];
      const row = statusRow(sampleReport({ deviceId: device(1), deviceGroup: group("shops") }), 10n);
      await store.records.adopt({ kind: "device", deviceId: device(1), row, reports: [] });
      assertSame(await list(group("shops")), [row]);
    });

    it("a group without devices has no summaries, and an unknown device none", async () => {
      const [store, { device, group }] = [opened(), freshNames()];
      assert.deepEqual(await store.listSummaries(group("none"), { limit: 10 }), { items: [], next: undefined });
      assert.deepEqual(await store.listVersions(group("none"), { limit: 10 }), { items: [], next: undefined });
      assert.equal((await store.summaries(group("none"), [device(1)])).size, 0);
      assert.equal((await store.summaries(group("none"), [])).size, 0);
    });

    it("the groups that devices reported from, or connected in alone, are listed, sorted, each once, from a name on", async () => {
      const [store, { device, group }] = [opened(), freshNames()];
      const row = (number: number, name: string, withoutToken: boolean) => ({
        ...statusRow(sampleReport({ deviceId: device(number), deviceGroup: group(name) })),
        withoutToken,
      });
      await saveReports(store, { statuses: [row(1, "shops", true), row(2, "shops", false), row(3, "tills", false), row(4, "offices", true)] });
      const watch = { shardBoot: "b-1", stream: 1, atMs: SAMPLE_TIME_MS };
      await store.savePresence([
        { ...watch, deviceId: device(1), deviceGroup: group("shops"), ended: false },
        { ...watch, deviceId: device(5), deviceGroup: group("lanes"), ended: false },
        { ...watch, deviceId: device(6), deviceGroup: group("vans"), ended: true },
      ]);
      const names: string[] = [];
      for (let after = ""; ; ) {
        const page = await store.groups({ after, limit: 2 });
        assert.ok(page.length <= 2);
        names.push(...page);
        after = page.at(-1) ?? "";
        if (page.length < 2) break;
      }
      assert.deepEqual(names, [...new Set(names)].sort(compare));
      const own = ["lanes", "offices", "shops", "tills", "vans"].map(group);
      assert.deepEqual(
        names.filter((name) => own.includes(name)),
        own,
      );
    });
  });
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

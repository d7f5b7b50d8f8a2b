import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { TargetKind } from "../../../../../gen/nebula/v1/device_pb.ts";
import { type FleetOverview, FleetOverviewSchema, GetOverviewResponseSchema } from "../../../../../gen/nebula/v1/fleet_pb.ts";
import { FailureCode } from "../../../../../gen/nebula/v1/report_pb.ts";
import {
  changeLines,
  devicesOf,
  failureTallies,
  groupLines,
  listedOf,
  moreChangesText,
  onlineCount,
  stateCounts,
  versionTallies,
} from "./overview-model.ts";

const AT = Date.UTC(2026, 0, 2);
const change = { at: timestampFromMs(AT), by: "ann" };

const overview = create(GetOverviewResponseSchema, {
  fleet: {
    states: { applied: 90n, failed: 4n, offline: 3n, working: 2n, waiting: 1n, neverCame: 7n, online: 97n },
    failureCodes: [
      { failureCode: FailureCode.NO_SPACE, devices: 3n },
      { failureCode: FailureCode.UNSPECIFIED, devices: 1n },
    ],
    problems: [{ code: "second_worker", devices: 2n }],
    workerVersions: [
      { workerVersion: "0.1.0", devices: 95n },
      { workerVersion: "", devices: 5n },
    ],
    original: 5n,
  },
  groups: [
    {
      deviceGroup: "pos",
      revision: 3n,
      states: { applied: 90n, failed: 4n },
      newestChange: { kind: TargetKind.APP, name: "web", revision: 42n, change },
    },
    { deviceGroup: "gone", states: { offline: 6n } },
    { deviceGroup: "huge", revision: 1n, uncounted: true },
  ],
  recentChanges: {
    changes: [
      {
        change: { kind: TargetKind.APP, name: "web", revisionAfter: 42n, detail: "update", change },
        states: { applied: 90n, failed: 4n, working: 6n },
      },
      { change: { kind: TargetKind.CRON_JOB, name: "nightly", revisionAfter: 2n, detail: "create", change } },
      { change: { kind: TargetKind.APP, name: "web", revisionAfter: 41n, detail: "update", change }, superseded: true },
    ],
  },
});

describe("the numbers of the overview", () => {
  it("each state of devices has its number, and the list of its devices, unless no list has exactly these", () => {
    const counts = stateCounts(overview.fleet?.states, { group: "pos" });
    assert.deepEqual(
      counts.map(({ state, count, to }) => [state, count, to]),
      [
        ["applied", 90n, "/ui/devices?group=pos&standing=applied"],
        ["working", 2n, "/ui/devices?group=pos&standing=working"],
        ["waiting", 1n, "/ui/devices?group=pos&standing=waiting"],
        ["failed", 4n, "/ui/devices?group=pos&standing=failed"],
        ["offline", 3n, "/ui/devices?group=pos&standing=offline"],
        ["never-came", 7n, undefined],
      ],
    );
    assert.ok(stateCounts(overview.fleet?.states, undefined).every(({ count, to }) => count > 0n && to === undefined));
  });

  it("no number of a fleet of which a device_group was not counted has a list: that has its devices, too", () => {
    const fleet = create(FleetOverviewSchema, { ...(overview.fleet ?? assert.fail()), uncountedGroups: 1n });
    assert.deepEqual([listedOf(fleet), listedOf(overview.fleet ?? assert.fail())], [undefined, {}]);
    const links = [...failureTallies(fleet), ...versionTallies(fleet)].map(({ to }) => to);
    assert.deepEqual([links.length > 0, links.filter((to) => to !== undefined)], [true, []]);
  });

  it("devices that were enrolled and never came are not among the devices", () => {
    assert.equal(devicesOf(overview.fleet?.states), 100n);
    assert.equal(devicesOf(undefined), 0n);
  });

  it("a line of a device_group says its devices, its newest change, and where it is not counted or does not exist", () => {
    const [pos, gone, huge] = groupLines(overview);
    assert.deepEqual([pos?.devices, pos?.change?.what, pos?.change?.at, pos?.exists], [94n, "app web", AT, true]);
    assert.deepEqual([pos?.change?.by, pos?.change?.to], ["ann", "/ui/changes/app/web/42"]);
    assert.deepEqual([gone?.devices, gone?.change, gone?.exists], [6n, undefined, false]);
    assert.deepEqual([huge?.devices, huge?.states, huge?.exists], [undefined, [], true]);
  });

  it("the number of devices that are online leads to their list, unless no list has exactly these or there are none", () => {
    const { states } = overview.fleet ?? assert.fail();
    assert.deepEqual(onlineCount(states, { group: "pos" }), { count: 97n, to: "/ui/devices?group=pos&connection=online" });
    assert.deepEqual(onlineCount(states, undefined), { count: 97n, to: undefined });
    assert.deepEqual(onlineCount(undefined, {}), { count: 0n, to: undefined });
  });

  it("a change says how many devices follow it, unless none do or a newer one took its place", () => {
    const [web, nightly, old] = changeLines(overview);
    assert.deepEqual([web?.what, web?.revision, web?.states[0]?.count, web?.devices, web?.by, web?.at], ["app web", 42n, 90n, 100n, "ann", AT]);
    assert.deepEqual([nightly?.what, nightly?.states, nightly?.isSuperseded], ["cron_job nightly", [], false]);
    assert.equal(old?.isSuperseded, true);
    assert.equal(web?.states[0]?.to, "/ui/devices?target=app%2Fweb%4042&standing=applied");
    const followed = (fleet: FleetOverview | undefined) => {
      const change = { change: { kind: TargetKind.DEVICE_GROUP, name: "pos", revisionAfter: 3n }, states: { applied: 1n } };
      const answer = create(GetOverviewResponseSchema, { recentChanges: { changes: [change] }, ...(fleet && { fleet }) });
      return changeLines(answer)[0]?.states[0]?.to;
    };
    assert.equal(followed(overview.fleet), "/ui/devices?group=pos&standing=applied");
    assert.equal(followed(create(FleetOverviewSchema, { uncountedGroups: 1n })), undefined);
    assert.equal(new Set(changeLines(overview).map(({ key }) => key)).size, 3);
  });

  it("failures have the words of nebulactl, and problems follow", () => {
    assert.deepEqual(
      failureTallies(overview.fleet ?? create(FleetOverviewSchema)).map(({ word, count, to }) => [word, count, to]),
      [
        ["no_space", 3n, "/ui/devices?standing=failed&code=no_space"],
        ["without a code", 1n, undefined],
        ["second_worker", 2n, "/ui/devices?problem=second_worker"],
      ],
    );
  });

  it("what devices and users write is shown as text, and its list is that of the text itself", () => {
    const reversed = "\u202egnp";
    const fleet = create(FleetOverviewSchema, {
      problems: [{ code: reversed, devices: 1n }],
      workerVersions: [{ workerVersion: reversed, devices: 2n }],
    });
    const tallies = [...failureTallies(fleet), ...versionTallies(fleet)];
    assert.deepEqual(
      tallies.map(({ word }) => word),
      ["\\u202egnp", "\\u202egnp"],
    );
    const queries = tallies.map(({ to = "" }) => [...new URL(to, "http://nebula").searchParams.values()]);
    assert.deepEqual(queries, [[reversed], [reversed]]);
    const changes = [{ change: { kind: TargetKind.APP, name: "web", revisionAfter: 1n, detail: reversed, change: { by: reversed } } }];
    const [line] = changeLines(create(GetOverviewResponseSchema, { recentChanges: { changes } }));
    assert.deepEqual([line?.detail, line?.by], ["\\u202egnp", "\\u202egnp"]);
  });

  it("a text that is longer than a filter takes has no list", () => {
    const fleet = create(FleetOverviewSchema, {
      problems: [{ code: "p".repeat(257), devices: 1n }],
      workerVersions: [{ workerVersion: "1".repeat(65), devices: 1n }],
    });
    assert.deepEqual(
      [...failureTallies(fleet), ...versionTallies(fleet)].map(({ to }) => to),
      [undefined, undefined],
    );
  });

  it("changes beyond those that are shown are counted", () => {
    const recent = (changes: number, more: boolean) =>
      create(GetOverviewResponseSchema, { recentChanges: { changes: Array.from({ length: changes }, () => ({})), more } });
    assert.equal(moreChangesText(recent(8, false), 8), undefined);
    assert.equal(moreChangesText(recent(10, false), 8), "and 2 more, which this line lists:");
    assert.equal(moreChangesText(recent(50, true), 8), "and more than 42 more, which this line lists:");
  });

  it("workers of the original have a line of their own", () => {
    assert.deepEqual(
      versionTallies(overview.fleet ?? create(FleetOverviewSchema)).map(({ word, count, to }) => [word, count, to]),
      [
        ["0.1.0", 95n, "/ui/devices?version=0.1.0"],
        ["the original", 5n, undefined],
      ],
    );
  });
});

import { strict as assert } from "node:assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { createRouterTransport } from "@connectrpc/connect";
import { TargetKind } from "../../../../gen/nebula/v1/device_pb.ts";
import { FleetService, GetOverviewResponseSchema } from "../../../../gen/nebula/v1/fleet_pb.ts";
import { FailureCode } from "../../../../gen/nebula/v1/report_pb.ts";
import { asAdmin } from "../../testing/as-admin.ts";
import { nebulactl } from "../../testing/test-cli.ts";
import { startTestServer, type TestServer } from "../../testing/test-server.ts";

const ago = (minutes: number) => timestampFromMs(Date.now() - minutes * 60_000);

const ANSWER = {
  fleet: {
    states: { applied: 1200n, failed: 3n, offline: 6n, working: 1n, waiting: 0n, neverCame: 2n },
    failureCodes: [{ failureCode: FailureCode.NO_SPACE, devices: 3n }],
    workerVersions: [
      { workerVersion: "0.2.0", devices: 1209n },
      { workerVersion: "", devices: 1n },
    ],
    problems: [{ code: "engine_\x1bunreachable", devices: 1n }],
    deviceGroups: 2n,
  },
  groups: [
    {
      deviceGroup: "pos",
      revision: 7n,
      states: { applied: 1200n, failed: 3n, offline: 6n, working: 1n, neverCame: 2n },
      newestChange: { kind: TargetKind.APP, name: "web", revision: 42n, change: { at: ago(12), by: "ci" } },
    },
  ],
  recentChanges: {
    changes: [
      {
        change: { kind: TargetKind.APP, name: "web", revisionBefore: 41n, revisionAfter: 42n, detail: "update", change: { at: ago(12), by: "ci" } },
        states: { applied: 1200n, failed: 3n, offline: 6n, working: 1n },
      },
      {
        change: { kind: TargetKind.APP, name: "web", revisionBefore: 40n, revisionAfter: 41n, detail: "update", change: { at: ago(30), by: "ann" } },
        superseded: true,
      },
    ],
    more: true,
  },
  nextPageToken: "pos",
} satisfies MessageInitShape<typeof GetOverviewResponseSchema>;

/** Runs a command against a server that answers this in two pages. */
function against(args: string) {
  const transport = createRouterTransport(({ service }) => {
    service(FleetService, {
      getOverview: ({ pageToken }) =>
        create(
          GetOverviewResponseSchema,
          pageToken === "" ? ANSWER : { ...ANSWER, groups: [{ deviceGroup: "tills", uncounted: true }], nextPageToken: "" },
        ),
    });
  });
  return nebulactl(args, { env: { NEBULA_SERVER: "http://127.0.0.1:1", NEBULA_TOKEN: "t" }, connect: async () => transport });
}

describe("nebulactl overview and changes", function () {
  this.timeout(120_000);

  it("nebulactl overview prints the numbers of the fleet, then those of each device_group", async () => {
    const { code, out, err } = await against("overview");
    assert.deepEqual([code, err], [0, ""]);
    const lines = out.split("\n");
    assert.equal(lines[0], "1210 devices in 2 device_groups: 1200 applied, 3 failed, 6 offline, 1 working, 0 waiting; 2 enrolled that never came");
    assert.deepEqual(lines.slice(1, 5), [
      "failed: 3 no_space",
      "problems: 1 engine_\\x1bunreachable",
      "workers: 0.2.0 on 1209, of the original on 1",
      "",
    ]);
    assert.match(lines[6] ?? "", /^pos +1210 +1200 +1 +0 +3 +6 +2 +web 42, \d+ min ago by ci$/);
    assert.match(lines[7] ?? "", /^tills +not counted/);
  });

  it("nebulactl overview prints JSON of all pages", async () => {
    const { out } = await against("overview -o json");
    const { fleet, device_groups: groups } = JSON.parse(out);
    assert.deepEqual([fleet.states.applied, groups.map((group: { device_group: string }) => group.device_group)], [1200, ["pos", "tills"]]);
  });

  it("nebulactl changes prints each change with the devices that it reached, and what superseded ones have", async () => {
    const { code, out, err } = await against("changes");
    assert.equal(code, 0);
    const [, newest = "", older = ""] = out.split("\n");
    assert.match(newest, /^\d+ min +ci +app\/web +41 -> 42 +update +1200 +7 +3$/);
    assert.match(older, /^\d+ min +ann +app\/web +40 -> 41 +update +superseded$/);
    assert.match(err, /nebulactl history --since 1h shows all/);
    const json = JSON.parse((await against("changes -o json")).out);
    assert.deepEqual(json[0].devices, { applied: 1200, failed: 3, offline: 6, working: 1, waiting: 0 });
    assert.deepEqual([json[1].superseded, json[1].devices], [true, undefined]);
  });

  describe("with a server", () => {
    let server: TestServer;
    before(async () => {
      server = await startTestServer();
    });
    after(() => server[Symbol.asyncDispose]());
    const { printed, refused } = asAdmin(() => server);

    it("nebulactl overview and changes show what a server has", async () => {
      assert.equal(await printed("overview"), "0 devices in 0 device_groups: 0 applied, 0 failed, 0 offline, 0 working, 0 waiting\n");
      await printed("apps create web --image shop:1");
      await printed("device-groups create pos --apps web");
      assert.match(
        await printed("overview --device-group pos"),
        /^0 devices in 1 device_group: .*\n\nDEVICE_GROUP .*\npos +0 .*(?:revision|web) 1, \d+ s ago by admin\n$/,
      );
      assert.match(await printed("changes"), /device_group\/pos +1 +create +0 +0 +0\n.* app\/web +1 +create +0 +0 +0\n/);
      await refused("overview --device-group nope", /there is no device_group "nope": create it/);
    });
  });
});

import { strict as assert } from "node:assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";
import { DeviceStanding } from "../../../../gen/nebula/v1/apply_pb.ts";
import { DeviceGroupService } from "../../../../gen/nebula/v1/device_group_pb.ts";
import { TargetKind } from "../../../../gen/nebula/v1/device_pb.ts";
import { DriftService, GroupDriftSchema } from "../../../../gen/nebula/v1/drift_pb.ts";
import { FailureCode } from "../../../../gen/nebula/v1/report_pb.ts";
import { asAdmin } from "../../testing/as-admin.ts";
import { assertGolden } from "../../testing/golden.ts";
import { nebulactl, type RunOptions } from "../../testing/test-cli.ts";
import { startTestServer, type TestServer } from "../../testing/test-server.ts";

const ago = (ms: number) => timestampFromMs(Date.now() - ms);
const HOUR = 3_600_000;

function drifted(deviceGroup: string, more: MessageInitShape<typeof GroupDriftSchema> = {}) {
  return create(GroupDriftSchema, {
    deviceGroup,
    groupRevision: 7n,
    devices: 1204,
    newest: 1201,
    counts: [
      { standing: DeviceStanding.FAILED, failureCode: FailureCode.NO_SPACE, devices: 2, since: ago(5 * HOUR) },
      { standing: DeviceStanding.OFFLINE, devices: 1, since: ago(72 * HOUR) },
    ],
    drifted: [
      { deviceId: "pos-0040", standing: DeviceStanding.OFFLINE, since: ago(72 * HOUR) },
      {
        deviceId: "pos-0031",
        standing: DeviceStanding.FAILED,
        failureCode: FailureCode.NO_SPACE,
        kind: TargetKind.APP,
        name: "web",
        since: ago(5 * HOUR),
      },
    ],
    images: [
      {
        image: "shop:1.5",
        imageIds: [
          { imageId: "3f2a9c0000000000", devices: 1200 },
          { imageId: "77b1000000000000", devices: 1 },
        ],
      },
    ],
    repairs: 12n,
    repaired: [
      { deviceId: "pos-0117", repairs: 10n },
      { deviceId: "pos-\x1b[2J", repairs: 2n },
    ],
    ...more,
  });
}

const WELL = { devices: 3, newest: 3, counts: [], drifted: [], images: [], repairs: 0n, repaired: [] };

/** Runs a command against a server that answers these. */
async function against(args: string, openings: readonly (readonly ReturnType<typeof drifted>[][])[], options: RunOptions = {}) {
  let opened = 0;
  const transport = createRouterTransport(({ service }) => {
    service(DeviceGroupService, { listDeviceGroups: () => ({ deviceGroups: [{ name: "pos" }, { name: "till" }] }) });
    service(DriftService, {
      getDrift: ({ pageToken }) =>
        pageToken === "" ? { groups: [drifted("pos")], nextPageToken: "next" } : { groups: [drifted("till", WELL)], nextPageToken: "" },
      async *watchDrift({ deviceGroups }) {
        assert.deepEqual(deviceGroups, ["pos", "till"]);
        const messages = openings[opened++];
        if (messages === undefined) throw new ConnectError("the login is no longer valid", Code.Unauthenticated);
        yield* messages.map((groups) => ({ groups: [...groups] }));
        throw new ConnectError("the server stops", Code.Unavailable);
      },
    });
  });
  return nebulactl(args, { env: { NEBULA_SERVER: "http://127.0.0.1:1", NEBULA_TOKEN: "t" }, connect: async () => transport, ...options });
}

describe("nebulactl drift", function () {
  this.timeout(120_000);

  it("nebulactl drift shows each group: devices by code and since when, images and repairs", async () => {
    const { code, out, err } = await against("drift", []);
    assert.deepEqual([code, err], [0, ""]);
    await assertGolden(new URL("golden/drift.txt", import.meta.url), out);
    const [pos, till] = JSON.parse((await against("drift -o json", [])).out);
    assert.deepEqual(
      [pos.device_group, pos.group_revision, pos.counts[0].failure_code, pos.repairs, till.newest],
      ["pos", 7, "FAILURE_CODE_NO_SPACE", 12, 3],
    );
    assert.match((await against("drift -o yaml", [])).out, /^- device_group: pos\n {2}group_revision: 7\n/);
  });

  it("nebulactl drift --watch prints a group when its drift changes, and opens a stream that broke again", async () => {
    const fixed = drifted("pos", WELL);
    const till = drifted("till", WELL);
    const { code, out, err } = await against("drift --watch", [
      [[drifted("pos", { ...WELL, newest: 2 }), till], [fixed]],
      [[fixed, till], [create(GroupDriftSchema, { deviceGroup: "till" })]],
    ]);
    assert.equal(code, 1);
    assert.equal(
      out,
      [
        "device_group pos: 2 of 3 devices run their newest config",
        "device_group till: 3 of 3 devices run their newest config",
        "device_group pos: 3 of 3 devices run their newest config",
        "device_group till: deleted",
        "",
      ].join("\n"),
    );
    assert.match(err, /^the connection broke; trying again\n(the connection broke; trying again\n)?error: .*no longer valid/);
    const lines = (await against("drift --watch -o json", [[[fixed], [till]]])).out.trim().split("\n");
    assert.deepEqual(
      lines.map((line) => JSON.parse(line).device_group),
      ["pos", "till"],
    );
    assert.match((await against("drift --watch -o yaml", [])).err, /drift --watch prints no YAML; use -o json/);
  });

  describe("against a server", () => {
    let server: TestServer;
    before(async () => {
      server = await startTestServer();
    });
    after(() => server[Symbol.asyncDispose]());
    const { run, printed, refused } = asAdmin(() => server);

    it("nebulactl drift against a server shows a group without devices, follows it, and knows no other", async () => {
      assert.deepEqual(await run("drift"), { code: 0, out: "", err: "no device_groups\n" });
      await printed("device-groups create pos");
      assert.equal(await printed("drift -d pos"), "device_group pos: 0 of 0 devices run their newest config\n");
      await refused("drift -d nope", /there is no device_group "nope"/);
      const stopped = new AbortController();
      const watched = await run("drift --watch", { signal: stopped.signal, onOut: () => stopped.abort() });
      assert.equal(watched.out, "device_group pos: 0 of 0 devices run their newest config\n");
    });
  });
});

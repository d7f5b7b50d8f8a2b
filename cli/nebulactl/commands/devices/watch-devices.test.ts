import { strict as assert } from "node:assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";
import { DeviceGroupService } from "../../../../gen/nebula/v1/device_group_pb.ts";
import {
  ConnectionState,
  DeviceSchema,
  DeviceService,
  TargetKind,
  type WatchDevicesRequest,
  WatchDevicesResponseSchema,
} from "../../../../gen/nebula/v1/device_pb.ts";
import { FailureCode, TargetState } from "../../../../gen/nebula/v1/report_pb.ts";
import { nebulactl, type Ran } from "../../testing/test-cli.ts";

type Message = MessageInitShape<typeof WatchDevicesResponseSchema>;

const device = (deviceId: string, state: TargetState = TargetState.APPLIED, connection: ConnectionState = ConnectionState.ONLINE) => {
  const failed = state === TargetState.FAILED;
  const web = { kind: TargetKind.APP, name: "web", state, containers: 2, containersWell: failed ? 1 : 2 };
  const failureCode = failed ? FailureCode.NO_SPACE : FailureCode.UNSPECIFIED;
  const summary = { state, workerVersion: "0.1.0", targets: [{ ...web, failureCode }] };
  return create(DeviceSchema, { deviceId, deviceGroup: "pos", connection: { state: connection }, summary });
};

/** Runs `devices watch` against a server that sends these messages, a list for each opening, and then refuses. */
async function watched(
  args: string,
  openings: readonly (readonly Message[])[],
  groups: readonly string[] = ["pos"],
): Promise<Ran & { requests: WatchDevicesRequest[] }> {
  const requests: WatchDevicesRequest[] = [];
  const transport = createRouterTransport(({ service }) => {
    service(DeviceGroupService, { listDeviceGroups: () => ({ deviceGroups: groups.map((name) => ({ name })) }) });
    service(DeviceService, {
      async *watchDevices(request) {
        requests.push(request);
        const messages = openings[requests.length - 1];
        if (messages === undefined) throw new ConnectError("the login is no longer valid", Code.Unauthenticated);
        yield* messages.map((message) => create(WatchDevicesResponseSchema, message));
        throw new ConnectError("the server stops", Code.Unavailable);
      },
    });
  });
  const env = { NEBULA_SERVER: "http://127.0.0.1:1", NEBULA_TOKEN: "t" };
  return { ...(await nebulactl(`devices watch ${args}`, { env, connect: async () => transport })), requests };
}

/** The lines without their times. */
const changes = (out: string) => out.replaceAll(/^\d{4}-\d\d-\d\dT\S+Z {2}/gm, "");

describe("nebulactl devices watch", () => {
  it("nebulactl devices watch prints a line for each change, and none for devices that are as they were", async () => {
    const { code, out, err, requests } = await watched("--device-group pos", [
      [
        { devices: [device("pos-1"), device("pos-2")] },
        { devices: [device("pos-3")], complete: true },
        { devices: [device("pos-1"), device("pos-2", TargetState.FAILED)] },
        { devices: [device("pos-1", TargetState.APPLIED, ConnectionState.OFFLINE)] },
        { devices: [device("pos-4", TargetState.WORKING)], left: [{ deviceId: "pos-3", deviceGroup: "pos" }] },
      ],
    ]);
    assert.equal(
      changes(out),
      [
        "pos-2  pos  applied -> failed; containers 2/2 -> 1/2; web: no_space",
        "pos-1  pos  online -> offline",
        "pos-4  pos  new: online, working",
        "pos-3  left",
        "",
      ].join("\n"),
    );
    assert.deepEqual(requests[0]?.deviceGroups, ["pos"]);
    assert.equal(code, 1);
    assert.match(
      err,
      /^watching 3 devices in 1 device_group; Ctrl-C ends it\nthe connection broke; trying again\nerror: .*the login is no longer valid/,
    );
  });

  it("nebulactl devices watch opens a stream again that breaks, and prints what changed in between once", async () => {
    const { out, requests } = await watched("", [
      [{ devices: [device("pos-1"), device("pos-2"), device("pos-3")], complete: true }],
      [{ devices: [device("pos-1"), device("pos-2", TargetState.WORKING)] }, { complete: true }],
      [{ devices: [device("pos-1"), device("pos-2", TargetState.WORKING)], complete: true }],
    ]);
    assert.equal(requests.length, 4);
    assert.equal(changes(out), "pos-2  pos  applied -> working\npos-3  left\n");
  }).timeout(20_000);

  it("nebulactl devices watch prints an object a line with -o json, and passes its filters on", async () => {
    const { out, requests } = await watched("-d pos -d till --failing --code no_space -o json", [
      [{ complete: true }, { devices: [device("pos-1", TargetState.FAILED)] }],
    ]);
    const { time, changes: told, device: whole } = JSON.parse(out);
    assert.match(time, /^\d{4}-/);
    assert.deepEqual([told, whole.device_id, whole.summary.targets[0].containers_well], [["new: online, failed"], "pos-1", 1]);
    assert.deepEqual(requests[0]?.deviceGroups, ["pos", "till"]);
    assert.deepEqual([requests[0]?.filter?.failing, requests[0]?.filter?.failureCode], [true, FailureCode.NO_SPACE]);
  });

  it("nebulactl devices watch needs device_groups, at most 20, and ends at once where the server refuses", async () => {
    const many = Array.from({ length: 21 }, (_, index) => `group-${index}`);
    assert.match((await watched("", [], many)).err, /there are more than 20 device_groups; use --device-group GROUP/);
    assert.match((await watched("", [], [])).err, /there is no device_group to watch/);
    const refused = await watched("-d pos", []);
    assert.deepEqual([refused.requests.length, refused.code], [1, 1]);
    assert.match((await watched("-d pos --online --offline-longer 1h", [])).err, /--online and --offline-longer exclude each other/);
    assert.match((await watched("-d pos --code no-such-code", [])).err, /invalid --code "no-such-code": use config_invalid/);
  });
});

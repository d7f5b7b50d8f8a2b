import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { lastStateCell } from "../../../common/insight/text/device-text.ts";
import { enumWord } from "../../../common/text/enum-words.ts";
import { ConnectionState, type Device, DeviceSchema, TargetKind } from "../../../gen/nebula/v1/device_pb.ts";
import { ContainerHealth, ContainerState, FailureCode, FailureCodeSchema, TargetState } from "../../../gen/nebula/v1/report_pb.ts";
import { plainPaint } from "../output/paint.ts";
import { renderTable } from "../output/table.ts";
import { deviceList } from "./device-list.ts";

const NOW = Date.UTC(2026, 0, 31, 12);
const ago = (minutes: number) => timestampFromMs(NOW - minutes * 60_000);
const online = (minutes: number) => ({ state: ConnectionState.ONLINE, since: ago(minutes), shard: "m-1" });
const offline = (minutes: number) => ({ state: ConnectionState.OFFLINE, since: ago(minutes), shard: "m-1" });
const app = (name: string, containers: number, containersWell = containers, state: TargetState = TargetState.APPLIED) => ({
  kind: TargetKind.APP,
  name,
  revision: 4n,
  appliedRevision: 4n,
  state,
  containers,
  containersWell,
});

/** A device for each thing that a line may say. */
const DEVICES: readonly Device[] = [
  create(DeviceSchema, {
    deviceId: "pos-0001",
    deviceGroup: "pos",
    connection: online(60 * 24 * 3),
    summary: { state: TargetState.APPLIED, workerVersion: "0.1.0", targets: [app("web", 2), app("api", 1), app("off", 0)] },
  }),
  create(DeviceSchema, {
    deviceId: "pos-0002",
    deviceGroup: "pos",
    connection: offline(13),
    summary: { state: TargetState.APPLIED, workerVersion: "0.1.0", targets: [app("web", 2)] },
  }),
  create(DeviceSchema, {
    deviceId: "pos-0003",
    deviceGroup: "pos",
    connection: online(2),
    summary: {
      state: TargetState.FAILED,
      workerVersion: "0.1.0",
      problems: ["state_not_saved"],
      targets: [{ ...app("web", 1, 0, TargetState.FAILED), failureCode: FailureCode.EXITS }, app("api", 1)],
    },
  }),
  create(DeviceSchema, {
    deviceId: "pos-0004",
    deviceGroup: "pos",
    connection: online(0),
    summary: { state: TargetState.APPLIED, workerVersion: "0.1.0", targets: [app("web", 0)] },
  }),
  create(DeviceSchema, { deviceId: "pos-0005", deviceGroup: "pos", connection: online(1) }),
  create(DeviceSchema, {
    deviceId: "pos-0006",
    deviceGroup: "pos",
    connection: online(1),
    summary: { state: TargetState.FAILED, workerVersion: "0.1.0", targets: [app("web", 1, 0, TargetState.FAILED)] },
    report: {
      state: TargetState.FAILED,
      workerVersion: "0.1.0",
      apps: [{ name: "web", state: TargetState.FAILED, step: "start", reason: "port 80 is taken" }],
    },
  }),
];

const GOLDEN = `\
DEVICE    GROUP  CONNECTED       STATE    CONTAINERS  WORKER  PROBLEM
pos-0001  pos    3 d             applied  3/3         0.1.0
pos-0002  pos    offline 13 min  applied  2/2         0.1.0
pos-0003  pos    2 min           failed   1/2         0.1.0   state_not_saved (and 1 more)
pos-0004  pos    0 s             applied  stopped     0.1.0
pos-0005  pos    1 min           unknown
pos-0006  pos    1 min           failed   0/1         0.1.0   web: start: port 80 is taken
`;

describe("the list of devices", () => {
  it("the list of devices says for how long each is connected or offline, its last state, its containers and what is wrong", () => {
    const { header, row } = deviceList(NOW);
    assert.equal(renderTable(header, DEVICES.map(row), plainPaint), GOLDEN);
  });

  it("the list of devices shows the state of one that is offline in no colour of a fine one", () => {
    const [fine, dead] = DEVICES;
    assert.ok(fine !== undefined && dead !== undefined);
    assert.deepEqual(lastStateCell(fine), { text: "applied", color: "green" });
    assert.deepEqual(lastStateCell(dead), "applied");
  });

  it("the list of devices has one of the original and one of an older server like every other, without a connection", () => {
    const container = { state: ContainerState.RUNNING, health: ContainerHealth.HEALTHY };
    const report = {
      state: TargetState.APPLIED,
      workerVersion: "original",
      apps: [{ name: "web", state: TargetState.APPLIED, containers: [container] }],
    };
    const row = deviceList(NOW).row(create(DeviceSchema, { deviceId: "pos-0042", deviceGroup: "pos", report }));
    assert.equal(row.map((cell) => (typeof cell === "string" ? cell : cell.text)).join("|"), "pos-0042|pos||applied|1/1|original|");
  });

  it("the list of devices names every failure code by a word, none by a word of its own", () => {
    const codes = Object.values(FailureCode).filter((code) => typeof code === "number");
    const words = codes.map((code) => enumWord(FailureCodeSchema, code));
    assert.equal(words[0], "");
    assert.ok(words.includes("no_space"));
    assert.equal(new Set(words).size, codes.length);
  });
});

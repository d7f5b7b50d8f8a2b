import { strict as assert } from "node:assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ConnectionState, type DeviceConnectionSchema, DeviceSchema } from "../../../gen/nebula/v1/device_pb.ts";
import { ContainerHealth, ContainerState, TargetState } from "../../../gen/nebula/v1/report_pb.ts";
import { plainPaint } from "../output/paint.ts";
import { deviceText } from "./device-view.ts";

const NOW = Date.UTC(2026, 0, 31, 12);
const ago = (minutes: number) => timestampFromMs(NOW - minutes * 60_000);

const container = {
  name: "web-1",
  revision: 41n,
  state: ContainerState.RUNNING,
  health: ContainerHealth.HEALTHY,
  restarts: 2,
  image: "shop:1.4",
  startedAt: ago(60),
  cpuPercent: 1.25,
  memoryBytes: 25_000_000n,
};
const failing = create(DeviceSchema, {
  deviceId: "pos-0117",
  deviceGroup: "pos",
  firstSeenAt: ago(60 * 24 * 7),
  duplicateId: true,
  report: {
    state: TargetState.FAILED,
    groupRevision: 7n,
    pruneId: 1n,
    workerVersion: "0.1.0",
    instance: "main",
    receivedAt: ago(3),
    startedAt: ago(120),
    cluster: { id: "c1", epoch: 1n },
    apps: [
      {
        name: "web",
        revision: 42n,
        appliedRevision: 41n,
        state: TargetState.FAILED,
        step: "start",
        reason: "port 80 is taken",
        tries: 4,
        retryAt: timestampFromMs(NOW + 180_000),
        containers: [container],
      },
      {
        name: "api",
        revision: 6n,
        appliedRevision: 6n,
        state: TargetState.APPLIED,
        containers: [{ ...container, name: "api-1", state: ContainerState.EXITED, exitCode: 1, health: ContainerHealth.UNHEALTHY }],
      },
    ],
    cronJobs: [
      {
        name: "backup",
        revision: 3n,
        appliedRevision: 3n,
        state: TargetState.APPLIED,
        lastRunDue: ago(600),
        nextRunDue: timestampFromMs(NOW + 3_600_000),
      },
    ],
    problems: [{ code: "state_not_saved", message: "the disk is full" }],
    host: {
      hostname: "box",
      cpuCores: 4,
      cpuUsedPercent: 12.3,
      memoryTotalBytes: 4_000_000_000n,
      memoryAvailableBytes: 1_000_000_000n,
      diskTotalBytes: 32_000_000_000n,
      diskFreeBytes: 8_000_000_000n,
      engineVersion: "20.10.24",
      os: "Debian",
      arch: "x86_64",
      uptimeSeconds: 7200n,
    },
  },
});
describe("the status of devices", () => {
  it("the status of one device is everything known of it", () => {
    const text = deviceText(failing, NOW)(plainPaint);
    for (const expected of [
      /^device +pos-0117$/m,
      /^state +failed$/m,
      /^last report +3 min ago$/m,
      /^worker +0\.1\.0, instance main, started 2 h ago$/m,
      /^cluster +c1, epoch 1$/m,
      /^host +box, Debian, x86_64, Docker 20\.10\.24, up 2 h$/m,
      /^memory +3\.0 GB of 4\.0 GB used$/m,
      /^problems +duplicate id: two workers report under it\n +state_not_saved: the disk is full\n +web: start: port 80 is taken$/m,
      /^web +42 +41 +failed +start +4 +in 3 min$/m,
      /^backup +3 +3 +applied +10 h ago +in 1 h$/m,
      /^web-1 +running +healthy +2 +41 +shop:1\.4 +1 h ago +1\.3 % +25 MB$/m,
      /^api-1 +exited \(1\) +unhealthy/m,
    ]) {
      assert.match(text, expected);
    }
  });

  it("the status of a device whose clock is years off has the ages and waits of the device itself", () => {
    const there = (minutes: number) => timestampFromMs(Date.UTC(1999, 5, 1) - minutes * 60_000);
    const app = { name: "web", revision: 42n, appliedRevision: 41n, state: TargetState.FAILED, step: "start", tries: 4 };
    const device = create(DeviceSchema, {
      deviceId: "pos-0117",
      report: {
        ...{ workerVersion: "0.1.0", instance: "main", receivedAt: ago(3), createdAt: there(0), startedAt: there(120) },
        apps: [{ ...app, retryAt: there(-7), retryInMs: 420_000n, containers: [{ ...container, startedAt: there(60) }] }],
        cronJobs: [{ name: "backup", lastRunDue: there(600), nextRunDue: there(-63) }],
      },
    });
    const text = deviceText(device, NOW)(plainPaint);
    for (const expected of [
      /^worker +0\.1\.0, instance main, started 2 h ago$/m,
      /^web +42 +41 +failed +start +4 +in 4 min$/m,
      /^backup +0 +0 +unknown +10 h ago +in 1 h$/m,
      /^web-1 .* 1 h ago +1\.3 %/m,
    ])
      assert.match(text, expected);
  });
});

describe("the connection of a device", () => {
  it("the connection of a device has its duration and its shard, as far as they are known", () => {
    const shown = (connection: MessageInitShape<typeof DeviceConnectionSchema>) =>
      /^connected +(.*)$/m.exec(deviceText(create(DeviceSchema, { deviceId: "pos-1", connection }), NOW)(plainPaint))?.[1];
    assert.equal(shown({ state: ConnectionState.ONLINE, since: ago(60 * 24 * 3), shard: "m-2" }), "yes for 3 d, shard m-2");
    assert.equal(shown({ state: ConnectionState.OFFLINE, since: ago(13), shard: "m-2" }), "no, offline for 13 min, last on shard m-2");
    assert.equal(shown({ state: ConnectionState.OFFLINE }), "no, offline");
    assert.equal(shown({}), undefined);
  });
});

describe("a device of the original", () => {
  const original = create(DeviceSchema, {
    deviceId: "pos-0042",
    deviceGroup: "pos",
    firstSeenAt: ago(60),
    report: {
      boot: "v2",
      workerVersion: "original",
      state: TargetState.APPLIED,
      receivedAt: ago(3),
      apps: [{ name: "web", revision: 7n, appliedRevision: 7n, state: TargetState.APPLIED, containers: [container] }],
      host: { hostname: "pos-0042", cpuCores: 4, memoryTotalBytes: 4_000_000_000n, memoryAvailableBytes: 1_000_000_000n },
    },
  });

  it("a device of the original shows what its worker reports, and makes up nothing", () => {
    const text = deviceText(original, NOW)(plainPaint);
    assert.match(text, /^worker +original$/m);
    assert.match(text, /^host +pos-0042$/m);
    assert.doesNotMatch(text, /cluster|instance|Docker|never|undefined/);
  });
});

import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ConnectionState, DeviceSchema } from "../../../../../gen/nebula/v1/device_pb.ts";
import { ContainerState, TargetState } from "../../../../../gen/nebula/v1/report_pb.ts";
import { deviceHead, factsOf, runningTargets, usagesOf } from "./device-model.ts";

const NOW = Date.UTC(2026, 0, 2);

const device = create(DeviceSchema, {
  deviceId: "till-7",
  deviceGroup: "pos",
  connection: { state: ConnectionState.OFFLINE, since: timestampFromMs(NOW - 60_000) },
  report: {
    state: TargetState.FAILED,
    workerVersion: "0.1.0",
    createdAt: timestampFromMs(NOW),
    receivedAt: timestampFromMs(NOW),
    host: {
      hostname: "till",
      cpuCores: 4,
      cpuUsedPercent: 50,
      memoryTotalBytes: 4_000_000_000n,
      memoryAvailableBytes: 1_000_000_000n,
      diskTotalBytes: 10_000_000_000n,
      diskFreeBytes: 10_000_000_000n,
    },
    apps: [
      {
        name: "web",
        revision: 42n,
        appliedRevision: 41n,
        state: TargetState.FAILED,
        reason: "<b>exits</b>\u200f",
        containers: [{ name: "web-1", state: ContainerState.EXITED, exitCode: 3, revision: 41n, image: "shop:1.4", restarts: 2 }],
      },
    ],
    cronJobs: [{ name: "nightly", revision: 1n, appliedRevision: 1n, state: TargetState.APPLIED }],
  },
});

describe("the page of a device", () => {
  it("the head says whether the device is connected, and since when", () => {
    assert.deepEqual(deviceHead(device), { group: "pos", connection: "offline", since: NOW - 60_000, state: "failed" });
    assert.deepEqual(deviceHead(create(DeviceSchema, { deviceId: "new" })), {
      group: "",
      connection: "unknown",
      since: undefined,
      state: "unknown",
    });
  });

  it("containers are those of each app and cron_job, and one that ended badly is marked", () => {
    const {
      head,
      targets: [web, nightly, ...more],
    } = runningTargets(device, NOW);
    assert.deepEqual([web?.title, web?.state, web?.revision, web?.reason], ["web", "failed", "revision 42, applied 41", "<b>exits</b>\\u200f"]);
    assert.deepEqual(web?.containers[0]?.slice(0, 2), [
      { text: "web-1", isWrong: false },
      { text: "exited (3)", isWrong: true },
    ]);
    assert.deepEqual([web?.to, nightly?.to], ["/ui/apps/web", undefined]);
    assert.deepEqual(head, ["Container", "State", "Restarts", "Revision", "Image"], "no container has a health, a start or a usage");
    assert.equal(web?.containers[0]?.length, head.length);
    assert.deepEqual([nightly?.title, nightly?.revision, nightly?.containers.length, more.length], ["cron_job nightly", "revision 1", 0, 0]);
  });

  it("what of the host is used is a share and the words of nebulactl", () => {
    assert.deepEqual(usagesOf(device, NOW), [
      { name: "cpu", used: 0.5, text: "50 % of 4 cores" },
      { name: "memory", used: 0.75, text: "3.0 GB of 4.0 GB used" },
      { name: "disk", used: 0, text: "0.0 GB of 10.0 GB used" },
    ]);
  });

  it("a device that never reported has no host, no containers, and says when it was seen first", () => {
    const silent = create(DeviceSchema, { deviceId: "new", firstSeenAt: timestampFromMs(NOW - 5000) });
    assert.deepEqual([usagesOf(silent, NOW), runningTargets(silent, NOW)], [[], { head: [], targets: [] }]);
    assert.deepEqual(factsOf(silent, NOW), [{ name: "first seen", value: { text: "5 s ago", isWrong: false } }]);
  });
});

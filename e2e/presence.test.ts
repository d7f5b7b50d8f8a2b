import { strict as assert } from "node:assert";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { eventually } from "../common/testing/eventually.ts";
import { AccessService } from "../gen/nebula/v1/access_pb.ts";
import { ConfigService } from "../gen/nebula/v1/config_pb.ts";
import { ConnectionState, type Device, DeviceService } from "../gen/nebula/v1/device_pb.ts";
import { ExplainService } from "../gen/nebula/v1/explain_pb.ts";
import { Server } from "./harness/server.ts";
import { SimulatedWorker } from "./harness/simulated-worker.ts";

const GROUP = "shops";
/** A killed shard's devices are offline after 35 s, and a machine that does other things needs some more. */
const KILLED_MS = 90_000;

describe("presence of devices", function () {
  this.timeout(180_000);
  let server: Server;
  Server.forSuite({}, async (started) => {
    server = started;
    await server.api.createGroup(GROUP, []);
  });

  async function enrolled(deviceId: string): Promise<SimulatedWorker> {
    const call = { headers: server.api.headers, timeoutMs: 20_000 };
    const { token } = await server.api.channel.unary(AccessService.method.createEnrolmentToken, { deviceGroup: GROUP, uses: 1 }, call);
    return new SimulatedWorker({ server: server.url, deviceId, enrollToken: token });
  }

  /** Waits until a device is connected, or is not. */
  function connection(deviceId: string, state: ConnectionState, timeoutMs = 40_000) {
    const look = async () => {
      const found = (await server.api.known(deviceId))?.connection;
      return found?.state === state ? { ...found, sinceMs: found.since === undefined ? undefined : timestampMs(found.since) } : false;
    };
    return eventually(look, { timeoutMs, everyMs: 200 });
  }

  async function listed(): Promise<readonly Device[]> {
    const call = { headers: server.api.headers, timeoutMs: 20_000 };
    return (await server.api.channel.unary(DeviceService.method.listDevices, { deviceGroup: GROUP }, call)).devices;
  }

  it("a device is online while it has a watch, alone and in the list, and offline since it left", async () => {
    const before = Date.now();
    const worker = await enrolled("till-1");
    try {
      await server.api.reported("till-1");
      const online = await connection("till-1", ConnectionState.ONLINE);
      assert.ok(online.sinceMs !== undefined && online.sinceMs >= before - 1000 && online.sinceMs <= Date.now() + 1000, `${online.sinceMs}`);
      assert.notEqual(online.shard, "");
      const call = { headers: server.api.headers, timeoutMs: 20_000 };
      const { explanation } = await server.api.channel.unary(ExplainService.method.explain, { deviceId: "till-1" }, call);
      assert.equal(explanation?.connection?.state, ConnectionState.ONLINE);
      assert.deepEqual(
        (await listed()).map((device) => [device.deviceId, device.connection?.state]),
        [["till-1", ConnectionState.ONLINE]],
      );
      const left = Date.now();
      await worker.program.kill();
      const offline = await connection("till-1", ConnectionState.OFFLINE);
      assert.ok(offline.sinceMs !== undefined && offline.sinceMs >= left - 1000 && offline.sinceMs <= Date.now(), `${offline.sinceMs}`);
      assert.equal(offline.shard, online.shard);
    } finally {
      await worker[Symbol.asyncDispose]();
    }
  });

  it("a device that connected and never reported is found while it is connected, and afterwards", async () => {
    const gone = new AbortController();
    const request = { deviceGroup: GROUP, deviceId: "silent-1", boot: "b-1", keepaliveMs: 30_000, workerVersion: "9.9.9", features: ["later"] };
    const watching = (async () => {
      const answers = server.api.channel.serverStream(ConfigService.method.watchConfig, request, {
        headers: server.api.headers,
        signal: gone.signal,
      });
      for await (const _ of answers);
    })().catch(() => {});
    await connection("silent-1", ConnectionState.ONLINE);
    assert.equal((await server.api.known("silent-1"))?.deviceGroup, GROUP);
    assert.equal((await server.api.known("silent-1"))?.report, undefined);
    gone.abort();
    await watching;
    await connection("silent-1", ConnectionState.OFFLINE);
  });

  it("devices of a killed server are offline since it was seen last, unless they come back", async () => {
    const [stays, leaves] = [await enrolled("till-2"), await enrolled("till-3")];
    try {
      for (const deviceId of ["till-2", "till-3"]) await connection(deviceId, ConnectionState.ONLINE);
      await server.kill();
      const killed = Date.now();
      await leaves.program.kill();
      await server.startAgain();
      const offline = await connection("till-3", ConnectionState.OFFLINE, KILLED_MS);
      assert.ok(
        offline.sinceMs !== undefined && offline.sinceMs <= killed + 1000 && offline.sinceMs > killed - 60_000,
        `${offline.sinceMs} of ${killed}`,
      );
      const online = await connection("till-2", ConnectionState.ONLINE, KILLED_MS);
      assert.ok(online.sinceMs !== undefined && online.sinceMs > killed, "under the watch that it opened again");
    } finally {
      for (const worker of [stays, leaves]) await worker[Symbol.asyncDispose]();
    }
  });

  it("a server that is stopped ends its devices in the store", async () => {
    const worker = await enrolled("till-4");
    try {
      await connection("till-4", ConnectionState.ONLINE);
      const stopped = Date.now();
      await server.stop();
      await worker.program.kill();
      await server.startAgain();
      const { sinceMs = 0 } = await connection("till-4", ConnectionState.OFFLINE, KILLED_MS);
      assert.ok(sinceMs >= stopped - 1000 && sinceMs <= stopped + 20_000, `${sinceMs} of ${stopped}`);
    } finally {
      await worker[Symbol.asyncDispose]();
    }
  });
});

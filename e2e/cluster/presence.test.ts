import { strict as assert } from "node:assert";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { eventually } from "../../common/testing/eventually.ts";
import { requireServers } from "../../common/testing/servers.ts";
import { ConfigService } from "../../gen/nebula/v1/config_pb.ts";
import { ConnectionState, DeviceService } from "../../gen/nebula/v1/device_pb.ts";
import { Api } from "../harness/api.ts";
import { Cluster } from "../harness/cluster.ts";

const GROUP = "shops";
const DEVICES = 60;
/** A killed shard counts as dead after 35 s, and a machine that does other things needs some more. */
const KILLED_MS = 120_000;

describe("presence on Cassandra and Redis", function () {
  this.timeout(300_000);
  let cluster: Cluster;
  let shards: readonly Api[] = [];
  before(async function () {
    const servers = await requireServers(this);
    cluster = await Cluster.start({ servers, shards: 2, reporters: 1 });
    shards = cluster.shards.map(({ address }) => new Api(address, cluster.password));
    await shards[0]?.createGroup(GROUP, []);
  });
  after(async () => {
    for (const api of shards) api[Symbol.dispose]();
    await cluster?.[Symbol.asyncDispose]();
  });

  const nameOf = (device: number) => `device-${device}`;

  /** Opens a watch of a device on one shard, which lasts until its signal is aborted or the shard is gone. */
  function watch(api: Api, device: number, boot: string, signal: AbortSignal): void {
    const request = { deviceGroup: GROUP, deviceId: nameOf(device), boot, keepaliveMs: 300_000, serveHere: true };
    const answers = api.channel.serverStream(ConfigService.method.watchConfig, request, { headers: api.headers, signal });
    void (async () => {
      for await (const _ of answers);
    })().catch(() => {});
  }

  /** The connections of the devices as a shard shows them, by their number. */
  async function connections(api: Api) {
    const call = { headers: api.headers, timeoutMs: 20_000 };
    return Promise.all(
      Array.from({ length: DEVICES }, async (_, device) => {
        const answer = await api.channel.unary(DeviceService.method.getDevice, { deviceId: nameOf(device) }, call).catch(() => undefined);
        const { state, since, shard } = answer?.device?.connection ?? {};
        return { state, shard, sinceMs: since === undefined ? undefined : timestampMs(since) };
      }),
    );
  }

  it("devices of a killed shard are online where they went, and offline since its end where they did not", async () => {
    const [killed, other] = cluster.shards;
    const [onKilled, onOther] = shards;
    if (killed === undefined || other === undefined || onKilled === undefined || onOther === undefined) throw new Error("there are no two shards");
    const end = new AbortController();
    try {
      for (let device = 0; device < DEVICES; device++) watch(device % 3 === 0 ? onOther : onKilled, device, "boot-1", end.signal);
      const shardOf = (device: number) => (device % 3 === 0 ? other : killed).name;
      await eventually(
        async () => (await connections(onOther)).every(({ state, shard }, device) => state === ConnectionState.ONLINE && shard === shardOf(device)),
        { timeoutMs: 60_000, everyMs: 500 },
      );
      assert.equal(await other.metric("nebula_devices_online"), DEVICES / 3);

      const killedAt = Date.now();
      await killed.program.kill();
      for (let device = 1; device < DEVICES; device += 3) watch(onOther, device, "boot-1", end.signal); // of the killed shard's devices every second one
      await eventually(
        async () => {
          const said = await connections(onOther);
          return said.every(({ state, shard }, device) =>
            device % 3 === 2 ? state === ConnectionState.OFFLINE && shard === killed.name : state === ConnectionState.ONLINE && shard === other.name,
          );
        },
        { timeoutMs: KILLED_MS, everyMs: 500 },
      );
      for (const [device, { sinceMs = 0 }] of (await connections(onOther)).entries()) {
        if (device % 3 === 1)
          assert.ok(sinceMs >= killedAt - 1000, `device ${device} is online under its new watch, not since ${killedAt - sinceMs} ms before`);
        // its last mark, or the opening of the watch where that came later
        if (device % 3 === 2)
          assert.ok(sinceMs <= killedAt + 1000 && sinceMs > killedAt - 60_000, `device ${device}: ${killedAt - sinceMs} ms before`);
      }
    } finally {
      end.abort();
    }
  });
});

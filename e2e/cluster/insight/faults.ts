import { strict as assert } from "node:assert";
import { Code, ConnectError } from "@connectrpc/connect";
import { eventually } from "../../../common/testing/eventually.ts";
import { ApplyService, ApplyVerdict } from "../../../gen/nebula/v1/apply_pb.ts";
import { ConnectionState, DeviceService } from "../../../gen/nebula/v1/device_pb.ts";
import type { Member } from "../../harness/cluster-member.ts";
import { gathered, type InsightStage, knowEachOther, SHOPS, TILLS, WITHIN } from "./stage.ts";
import { inNumbers } from "./told-fleet.ts";

/**
 * Tests of what is seen of devices and changes while shards and Redis fail; one of the shops has left before.
 * @param started the stage of the suite, once it is started
 */
export function insightSurvivesFaults(started: () => InsightStage): void {
  it("devices of a shard that drains stay online, and are so at the other shard in the end", async () => {
    const stage = started();
    const draining = await stage.ownerOf(SHOPS);
    const stays = stage.other(draining);
    const online = stage.shops.filter(({ hasLeft }) => !hasLeft());
    const end = new AbortController();
    const at = new Map<string, string>();
    const seenOffline = new Set<string>();
    const request = { deviceGroups: [SHOPS] };
    const reading = (async () => {
      for await (const { devices } of stage.apiOf(stays).channel.serverStream(DeviceService.method.watchDevices, request, {
        headers: stage.headers,
        signal: end.signal,
      })) {
        for (const { deviceId, connection } of devices) {
          if (connection?.state !== ConnectionState.ONLINE && at.has(deviceId)) seenOffline.add(deviceId);
          at.set(deviceId, connection?.state === ConnectionState.ONLINE ? connection.shard : "");
        }
      }
    })().catch(() => {});
    const areAt = ({ name }: Member) => online.every(({ id }) => at.get(id) === name);
    await eventually(() => areAt(draining), WITHIN);
    draining.program.child.kill("SIGTERM");
    await stage.fleet.served(online, stays);
    assert.equal(await draining.program.exit(), 0);
    await eventually(() => areAt(stays), WITHIN);
    end.abort();
    await reading;
    assert.deepEqual(
      online.filter(({ id }) => seenOffline.has(id)).map(({ id }) => id),
      [],
    );
    const list = new Map((await stage.listed(stays, SHOPS, {})).map(({ deviceId, connection }) => [deviceId, connection]));
    for (const { id } of online) assert.deepEqual([list.get(id)?.state, list.get(id)?.shard], [ConnectionState.ONLINE, stays.name]);
    draining.launch();
    await draining.ready();
    await stage.fleet.served(online, draining);
  });

  it("WatchApply while Redis is stopped: the verdict comes, and equals a recount", async () => {
    const stage = started();
    const owner = await stage.ownerOf(SHOPS);
    const { revision, request } = await stage.change(SHOPS, owner);
    const { messages, ended } = stage.follow(stage.other(owner), request);
    await eventually(() => inNumbers(messages.at(-1)?.counts).waiting > 0, WITHIN);
    await stage.redis.kill();
    try {
      await stage.allApplied(stage.shops.slice(0, 2), revision);
      await stage.allApplied(stage.shops.slice(3), revision);
      await stage.assertVerdict(await ended, ApplyVerdict.APPLIED, stage.shops, revision);
    } finally {
      await stage.redis.startAgain();
    }
  });

  it("WatchApply while the shard of the devices is killed: those that go on elsewhere count, and one that does not is offline", async () => {
    const stage = started();
    const killed = await stage.ownerOf(SHOPS);
    const stays = stage.other(killed);
    const [one, lost, , ...rest] = stage.shops;
    if (one === undefined || lost === undefined) throw new Error("there are no devices");
    await stage.fleet.served([one, lost, ...rest], killed);
    const { revision, request } = await stage.change(SHOPS, killed);
    const { messages, ended } = stage.follow(stays, request);
    await stage.allApplied([one], revision);
    await eventually(() => inNumbers(messages.at(-1)?.counts).applied === 1, WITHIN);
    const ending = killed.program.kill();
    await Promise.all([ending, lost.leave()]);
    await stage.fleet.served([one, ...rest], stays);
    await stage.allApplied(rest, revision);
    const last = await ended;
    await stage.assertVerdict(last, ApplyVerdict.APPLIED, stage.shops, revision);
    assert.equal(inNumbers(last.counts).offline, 2);
    killed.launch();
    await killed.ready();
  });

  it("WatchApply whose shard is killed is opened again through the gateway, and has the verdict", async () => {
    const stage = started();
    await knowEachOther(stage.cluster);
    const { revision, request } = await stage.change(TILLS, stage.shard(0));
    const client = stage.gateway(ApplyService);
    const first = gathered(client.watchApply(request, { headers: stage.headers }));
    await eventually(() => first.messages.length > 0, WITHIN);
    const streams = await Promise.all(
      stage.cluster.shards.map((each) => each.metric("nebula_server_streams", { method: "/nebula.v1.ApplyService/WatchApply" })),
    );
    assert.deepEqual(streams.toSorted(), [0, 1]);
    const killed = stage.shard(streams.indexOf(1));
    await stage.allApplied(stage.tills.slice(0, 3), revision);
    await killed.program.kill();
    await assert.rejects(first.ended, (error) => error instanceof ConnectError && error.code === Code.Unavailable);
    const again = gathered(client.watchApply(request, { headers: stage.headers }));
    await stage.fleet.served(stage.tills, stage.other(killed));
    await stage.allApplied(stage.tills.slice(3), revision);
    await stage.assertVerdict(await again.ended, ApplyVerdict.APPLIED, stage.tills, revision);
  });
}

import { strict as assert } from "node:assert";
import { systemClock } from "../../common/clock/system-clock.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { requireServers } from "../../common/testing/servers.ts";
import { DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { Cluster } from "../harness/cluster.ts";
import type { Member } from "../harness/cluster-member.ts";
import { FaultProxy } from "../harness/fault-proxy.ts";
import { LightDevice, SharedChannels } from "./light-device.ts";

const DEVICES = 120;
const GROUPS = 12;

describe("shards as processes on Cassandra, Redis and Kafka", function () {
  this.timeout(300_000);
  let cluster: Cluster;
  let devices: readonly LightDevice[];
  const life = new AbortController();
  const opened = new AsyncDisposableStack();

  before(async function () {
    const servers = await requireServers(this);
    cluster = opened.use(await Cluster.start({ servers, env: { NEBULA_DRAIN: "15s", NEBULA_CACHE_TIME: "5s" } }));
    const channels = opened.use(new SharedChannels());
    const headers = { authorization: `Basic ${Buffer.from(`admin:${cluster.password}`).toString("base64")}` };
    for (let group = 0; group < GROUPS; group++) {
      const admin = channels.to(cluster.shards[0]?.address ?? "", 0);
      await admin.unary(DeviceGroupService.method.createDeviceGroup, { deviceGroup: { name: `group-${group}` } }, { headers });
    }
    const managers = () => cluster.shards.filter(({ program }) => !program.ended).map(({ address }) => address);
    devices = Array.from(
      { length: DEVICES },
      (_, index) => new LightDevice({ channels, index, deviceGroup: `group-${index % GROUPS}`, managers, headers, clock: systemClock }),
    );
    const running = devices.map((device) => device.run(life.signal));
    opened.defer(async () => {
      life.abort();
      await Promise.all(running);
    });
    // A shard serves all who ask until it has seen the other's lease rise; what the other owns it hands over then.
    await eventually(async () => assert.deepEqual(await Promise.all(cluster.shards.map((each) => each.metric("nebula_members"))), [2, 2]), {
      timeoutMs: 60_000,
      everyMs: 200,
    });
    await eventually(
      async () => {
        const waiting = await Promise.all(cluster.shards.map((each) => each.metric("nebula_hand_over_waiting")));
        assert.deepEqual({ waiting, served: served() }, { waiting: [0, 0], served: DEVICES });
      },
      { timeoutMs: 60_000, everyMs: 200 },
    );
  });
  after(() => opened.disposeAsync());

  const served = () => devices.filter(({ servedBy }) => servedBy !== undefined).length;
  const servedBy = ({ address }: Member) => devices.filter((device) => device.servedBy === address).length;
  const failures = () => devices.flatMap((device) => device.failures);
  const shard = (index: number) => cluster.shards[index] ?? assert.fail("the cluster lacks a shard");

  it("a shard that gets SIGTERM hands its devices over, says so, and exits with 0; restarted under its name it gets the same devices back", async () => {
    const [one, two] = [shard(0), shard(1)];
    const before = new Map(devices.map((device) => [device, device.servedBy]));
    assert.ok(servedBy(one) > 0 && servedBy(two) > 0);
    two.program.child.kill("SIGTERM");
    await eventually(async () => (await two.missing()).includes("manager: it is stopping"), { everyMs: 50 });
    await eventually(() => servedBy(one) === DEVICES, { timeoutMs: 60_000 });
    assert.equal(await two.program.exit(), 0);
    assert.match(two.program.output, /"the manager hands its devices over"/);
    assert.deepEqual(failures(), []);

    two.launch();
    await two.ready();
    await eventually(() => servedBy(two) > 0 && served() === DEVICES && [...before].every(([device, address]) => device.servedBy === address), {
      timeoutMs: 60_000,
    });
    assert.deepEqual(failures(), []);
  });

  if (process.env.NEBULA_TEST_LONG !== "1") return;

  it("a shard that loses its store for 30 s owns nothing until it is back, while the others serve all", async () => {
    const [host = ""] = /(?<=cassandra:\/\/)[^/]+/.exec(cluster.backends.store) ?? [];
    await using proxy = await FaultProxy.start({ target: host });
    const cut = await cluster.addShard({ name: "cut", env: { NEBULA_STORE: cluster.backends.store.replace(host, proxy.address) } });
    await eventually(() => servedBy(cut) > 0 && served() === DEVICES, { timeoutMs: 60_000 });
    await proxy.set("black hole");
    await eventually(async () => (await shard(0).metric("nebula_members_impaired")) === 1, { timeoutMs: 90_000, everyMs: 200 });
    assert.ok(proxy.struck["black hole"] > 0);
    await eventually(() => assert.deepEqual({ onCut: servedBy(cut), served: served() }, { onCut: 0, served: DEVICES }), { timeoutMs: 120_000 });
    assert.deepEqual(await cut.missing(), [], "an outage of the store restarts no shard");
    await proxy.set(undefined);
    await eventually(async () => (await shard(0).metric("nebula_members_impaired")) === 0, { timeoutMs: 60_000, everyMs: 200 });
    await eventually(() => servedBy(cut) > 0 && served() === DEVICES, { timeoutMs: 60_000 });
    assert.deepEqual(failures(), []);
    assert.equal(await cut.program.stop(), 0);
  });
});

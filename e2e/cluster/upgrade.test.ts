import { strict as assert } from "node:assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { systemClock } from "../../common/clock/system-clock.ts";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { silentLog } from "../../common/log/log.ts";
import { openDrivers } from "../../common/open-drivers.ts";
import { requireServers } from "../../common/testing/servers.ts";
import { AccessService } from "../../gen/nebula/v1/access_pb.ts";
import { Api } from "../harness/api.ts";
import { Cluster } from "../harness/cluster.ts";
import type { Member } from "../harness/cluster-member.ts";
import { RELEASE_BEFORE, requireTree } from "../harness/earlier-tree.ts";
import { SimulatedWorker } from "../harness/simulated-worker.ts";

const GROUPS = ["shops", "tills"];
const APP = "web";
/** A change reaches a device and its report comes back, while processes of the cluster start. */
const APPLIED_MS = 90_000;
/** Between two changes of the writer: more than a worker needs to pull the image for one. */
const PAUSE_MS = 1500;

describe("upgrades of a running cluster", function () {
  this.timeout(600_000);
  let cluster: Cluster;
  let apis: ReadonlyMap<Member, Api>;
  /** The `nebula` of the release before. */
  let earlier: string;
  const devices = new Map<string, SimulatedWorker>();
  const opened = new AsyncDisposableStack();

  before(async function () {
    const servers = await requireServers(this);
    const folder = await mkdtemp(join(tmpdir(), "nebula-e2e-upgrade-"));
    opened.defer(() => rm(folder, { recursive: true, force: true }));
    earlier = join(await requireTree(this, RELEASE_BEFORE, join(folder, "tree")), "cli/nebula.js");
    cluster = opened.use(await Cluster.start({ servers, file: earlier, env: { NEBULA_DRAIN: "5s" } }));
    apis = new Map(cluster.shards.map((shard) => [shard, opened.use(new Api(shard.address, cluster.password))]));
    const [api] = apis.values();
    assert.ok(api);
    await api.createApp({ name: APP, dockerImage: "shop:1" });
    for (const deviceGroup of GROUPS) {
      await api.createGroup(deviceGroup, [APP]);
      const request = { deviceGroup, uses: 2 };
      const { token } = await api.channel.unary(AccessService.method.createEnrolmentToken, request, { headers: api.headers, timeoutMs: 20_000 });
      for (const [release, of] of [["before", { file: earlier }] as const, ["now", {}] as const]) {
        const deviceId = `${deviceGroup}-${release}`;
        const server = `http://${cluster.gateway.address}`;
        devices.set(deviceId, opened.use(new SimulatedWorker({ server, deviceId, enrollToken: token, ...of })));
      }
    }
  });
  after(() => opened.disposeAsync());

  const api = (shard: Member) => apis.get(shard) ?? assert.fail("there is no such shard");

  /** Changes the app by each shard that runs, and waits until all devices report the newest of these revisions or a newer one, by whichever shard is asked. */
  async function assertFollowed(image: string): Promise<bigint> {
    let newest = 0n;
    for (const shard of cluster.shards) {
      const { revision } = await api(shard).updateApp(APP, { dockerImage: `${image}-${shard.name}` });
      assert.ok(revision > newest, `revision ${revision} came after ${newest}`);
      newest = revision;
    }
    for (const shard of cluster.shards) {
      for (const deviceId of devices.keys()) {
        await api(shard).appStatus(deviceId, APP, ({ appliedRevision }) => appliedRevision >= newest, APPLIED_MS);
      }
    }
    return newest;
  }

  /**
   * Takes steps while a writer changes the app, and asserts after each that all devices follow, and at the end that no acknowledged write is lost.
   * @param steps by what the image of the changes after it is called
   */
  async function assertFollowsThrough(steps: readonly (readonly [name: string, step: () => Promise<void>])[]): Promise<void> {
    const acknowledged = new Set<bigint>();
    let isOver = false;
    const writing = (async () => {
      for (let turn = 0; !isOver; turn++) {
        const shard = cluster.shards[turn % cluster.shards.length] ?? assert.fail("the cluster lacks a shard");
        try {
          const { revision } = await api(shard).updateApp(APP, { envVars: { TURN: String(turn) } });
          assert.ok(!acknowledged.has(revision), `revision ${revision} was given twice`);
          acknowledged.add(revision);
        } catch (error) {
          // a shard that is replaced does not answer, and a write that it had begun may have been made
          if (!isNebulaError(error, "unavailable")) throw error;
        }
        await sleep(PAUSE_MS);
      }
    })();
    const stepping = (async () => {
      for (const [name, step] of steps) {
        await step();
        await assertFollowed(`shop:${name}`);
      }
    })();
    try {
      // the writer ends first only where it failed
      await Promise.race([stepping, writing]);
    } finally {
      isOver = true;
    }
    await Promise.all([stepping, writing]);

    const newest = await assertFollowed("shop:last");
    const settings = { ...cluster.backends, reports: cluster.backends.store, dataDir: "", cacheTimeMs: 10_000, reportTtlMs: 26 * 3_600_000 };
    await using opening = await openDrivers(["configStore"], { settings, clock: systemClock, log: silentLog });
    const { items } = await opening.configStore.history({ kind: "app", name: APP }, { limit: 1000 });
    const inHistory = new Set(items.map(({ revision }) => revision));
    const lost = [...acknowledged].filter((revision) => !inHistory.has(revision));
    assert.deepEqual(lost, [], "the history lacks revisions that were acknowledged");
    assert.ok(acknowledged.size > steps.length, `only ${acknowledged.size} writes were acknowledged`);
    assert.equal(items[0]?.revision, newest);
    for (const [deviceId, worker] of devices) assert.doesNotMatch(worker.output, /enrols again/, `${deviceId} had to enrol again`);
  }

  it("a cluster of the release before follows changes after the schema is migrated and after each process is replaced, and loses no acknowledged write meanwhile", async () => {
    const { shards, gateway, reporters } = cluster;
    await assertFollowsThrough([
      ["migrated", () => cluster.migrate()],
      ...[...shards, gateway, ...reporters].map((member) => [member.name, () => member.replace()] as const),
    ]);
  });

  it("an upgraded cluster goes back to the release before, one process after the other, and still follows and keeps every acknowledged write", async () => {
    const { shards, gateway, reporters } = cluster;
    await assertFollowsThrough([...reporters, gateway, ...shards].map((member) => [`${member.name}-back`, () => member.replace(earlier)] as const));
  });
});

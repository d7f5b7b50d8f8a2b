import { strict as assert } from "node:assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../common/clock/system-clock.ts";
import { openCassandraConfigStore } from "../../common/storage/cassandra/entities/config-store.ts";
import { openCassandra } from "../../common/storage/cassandra/open-cassandra.ts";
import type { ConfigStore, EntityKey, StoredEntity } from "../../common/storage/config-store.ts";
import { openSqliteConfigStore } from "../../common/storage/sqlite/config-store.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { freePort } from "../../common/testing/free-port.ts";
import { cassandraUrl, freshKeyspace, requireServer, type TestServer } from "../../common/testing/servers.ts";
import { dropKeyspace, openOptions } from "../../common/testing/test-keyspace.ts";
import { AccessService } from "../../gen/nebula/v1/access_pb.ts";
import { ConfigService } from "../../gen/nebula/v1/config_pb.ts";
import { Api } from "../harness/api.ts";
import { FaultProxy } from "../harness/fault-proxy.ts";
import { Program } from "../harness/program.ts";
import { Fleet, type FleetSeen } from "./fleet.ts";

const DEVICES = 200;
const PASSWORD = "a password of the tests";
const SECRETS = { NEBULA_CLUSTER_KEY: "the key of a cluster that moves", NEBULA_ADMIN_PASSWORD: PASSWORD };
/** All devices connect again, and run what they should, on a machine that does other things. */
const WHOLE_MS = 180_000;

type Running = AsyncDisposable & Readonly<{ api: Api; stop: () => Promise<void> }>;

describe(`a cluster of ${DEVICES} devices that moves from sqlite to Cassandra and back`, function () {
  this.timeout(600_000);
  let folder: string;
  let url: string | undefined;
  let server: TestServer;
  const keyspace = freshKeyspace();
  let ports: readonly [http: number, grpc: number];
  before(async function () {
    server = await requireServer(this, "cassandra");
    folder = await mkdtemp(join(tmpdir(), "nebula-e2e-move-"));
    url = cassandraUrl(server, keyspace);
    ports = [await freePort(), await freePort()];
  });
  after(async () => {
    if (url !== undefined) await dropKeyspace(url);
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  /** Starts a server on ports that stay the same. */
  async function serve(env: Readonly<Record<string, string>>): Promise<Running> {
    const [http, grpc] = ports;
    const listen = { NEBULA_HTTP_LISTEN: `127.0.0.1:${http}`, NEBULA_GRPC_LISTEN: `127.0.0.1:${grpc}`, NEBULA_METRICS_LISTEN: "off" };
    const program = new Program(["server"], { env: { ...SECRETS, ...listen, ...env } });
    await program.printed(/is up\./, 60_000);
    const api = new Api(`127.0.0.1:${grpc}`, PASSWORD);
    return {
      api,
      async stop() {
        api[Symbol.dispose]();
        assert.equal(await program.stop(), 0, program.output);
      },
      [Symbol.asyncDispose]: () => program.kill(),
    };
  }

  async function migrate(
    from: string,
    to: string,
    env: Readonly<Record<string, string>> = {},
  ): Promise<Readonly<{ code: number | null; output: string }>> {
    await using program = new Program(["migrate", "--from", from, "--to", to], { env: { ...SECRETS, ...env } });
    const code = await program.exit();
    return { code, output: program.output };
  }

  /** Resolves when every device runs this revision of the app. */
  async function allRun(fleet: Fleet, revision: bigint): Promise<FleetSeen> {
    let seen: FleetSeen | undefined;
    let late: readonly string[] = [];
    await eventually(
      async () => {
        seen = await fleet.look();
        late = seen.devices
          .filter(({ apps, settled }) => !settled || apps.length !== 1 || apps[0]?.applied !== revision)
          .map(({ deviceId }) => deviceId);
        return seen.devices.length === DEVICES && late.length === 0;
      },
      { timeoutMs: WHOLE_MS, everyMs: 500 },
    ).catch((cause) => {
      throw new Error(`${seen?.devices.length} devices, of which ${late.length} are not at revision ${revision}: ${late.slice(0, 5).join(", ")}`, {
        cause,
      });
    });
    assert.deepEqual(seen?.flaws, []);
    return seen ?? assert.fail();
  }

  /** Resolves when every device has connected once more than it had: its token was taken. */
  async function allConnectAgain(fleet: Fleet, before: FleetSeen): Promise<FleetSeen> {
    let seen = before;
    await eventually(
      async () => {
        seen = await fleet.look();
        return seen.connects - before.connects >= DEVICES;
      },
      { timeoutMs: WHOLE_MS, everyMs: 500 },
    ).catch((cause) => {
      throw new Error(`${seen.connects - before.connects} of ${DEVICES} devices connected again`, { cause });
    });
    return seen;
  }

  const containers = ({ devices }: FleetSeen) => new Map(devices.map((device) => [device.deviceId, device.containers]));
  const asAdmin = ({ headers }: Api) => ({ headers, timeoutMs: 20_000 });
  const clusterOf = async (api: Api) =>
    (await api.channel.unary(ConfigService.method.getConfig, { deviceGroup: "shops" }, asAdmin(api))).config?.cluster;
  const webOf = async (api: Api) => {
    const { config } = await api.channel.unary(ConfigService.method.getConfig, { deviceGroup: "shops" }, asAdmin(api));
    return config?.apps.map(({ name, revision }) => `${name} ${revision}`);
  };

  /** All that a store holds of each entity of this test, tombstones and history included. */
  async function everythingOf(store: ConfigStore): Promise<readonly unknown[]> {
    const plain = (entity: StoredEntity) => ({ ...entity, body: Buffer.from(entity.body).toString("hex") });
    const keys: readonly EntityKey[] = [
      { kind: "app", name: "web" },
      { kind: "app", name: "gone" },
      { kind: "device_group", name: "shops" },
    ];
    const read = async (key: EntityKey) => ({
      newest: plain((await store.get(key)) ?? assert.fail(`${key.name} is missing`)),
      history: (await store.history(key, { limit: 100 })).items.map(plain),
    });
    return [...(await Promise.all(keys.map(read))), await store.groupsNaming("app", "web"), store.cluster];
  }
  async function everythingIn(dataDir: string): Promise<readonly unknown[]> {
    await using store = await openSqliteConfigStore({ path: join(dataDir, "nebula.db") });
    return await everythingOf(store);
  }
  async function everythingOn(cassandra: string): Promise<readonly unknown[]> {
    await using client = await openCassandra(openOptions(cassandra));
    return await everythingOf(await openCassandraConfigStore({ client, clock: systemClock }));
  }

  it("no device restarts anything, no token is refused, and revisions go on rising, also where the move was cut and run again", async () => {
    const cassandra = url ?? assert.fail();
    const first = join(folder, "first");
    const back = join(folder, "back");
    await using opened = new AsyncDisposableStack();

    // on sqlite
    const embedded = opened.use(await serve({ NEBULA_DATA: first }));
    await embedded.api.createApp({ name: "web", dockerImage: "shop:1", secretEnvVars: { TOKEN: "hunter2" } });
    await embedded.api.createApp({ name: "gone", dockerImage: "shop:1" });
    await embedded.api.deleteApp("gone");
    await embedded.api.createGroup("shops", ["web"]);
    const { token } = await embedded.api.channel.unary(
      AccessService.method.createEnrolmentToken,
      { deviceGroup: "shops", uses: DEVICES },
      asAdmin(embedded.api),
    );
    const devices = Array.from({ length: DEVICES }, (_, index) => ({ deviceId: `device-${index}`, enrollToken: token }));
    const fleet = opened.use(await Fleet.start({ server: `grpc://127.0.0.1:${ports[1]}`, devices, processes: 2 }));
    await allRun(fleet, 1n);
    await embedded.api.updateApp("web", { dockerImage: "shop:2" });
    const running = await allRun(fleet, 2n);
    for (const [deviceId, ids] of containers(running)) assert.equal(ids.length, 1, `${deviceId} says nothing of its container`);
    const cluster = await clusterOf(embedded.api);
    const held = await migrate(`sqlite:${first}`, cassandra);
    assert.equal(held.code, 1, held.output);
    assert.match(held.output, /the data folder .*first is in use by another Nebula process: stop that one/);
    await embedded.stop();

    // to Cassandra, cut among the devices
    {
      await using proxy = await FaultProxy.start({ target: server.address });
      const through = cassandraUrl({ address: proxy.address }, keyspace);
      await using cut = new Program(["migrate", "--from", `sqlite:${first}`, "--to", through], { env: SECRETS });
      await cut.printed(/device_group: 1, of which 1 copied now/, 60_000);
      await proxy.set("black hole");
      await cut.kill();
      assert.doesNotMatch(cut.output, /every record is the same/);
    }
    {
      await using early = new Program(["server"], { env: { ...SECRETS, NEBULA_STORE: cassandra, NEBULA_METRICS_LISTEN: "off" } });
      assert.equal(await early.exit(), 1, early.output);
      assert.match(early.output, /this store holds only a part of cluster \w{32}: a move to it did not end/);
    }
    const moved = await migrate(`sqlite:${first}`, cassandra);
    assert.equal(moved.code, 0, moved.output);
    assert.match(
      moved.output,
      new RegExp(`moved and compared: app 2, cron_job 0, device_group 1, .*device_token ${DEVICES}, .*device ${DEVICES}; every record is the same`),
    );
    const again = await migrate(`sqlite:${first}`, cassandra);
    assert.match(again.output, /every record is the same in both stores/);
    const [web, gone, ...rest] = await everythingIn(first);
    assert.deepEqual(await everythingOn(cassandra), [web, gone, ...rest]);
    assert.deepEqual(
      [web, gone].map((entity) => Object(entity).history.map(({ revision, deleted }: StoredEntity) => [revision, deleted])),
      [
        [
          [2n, false],
          [1n, false],
        ],
        [
          [2n, true],
          [1n, false],
        ],
      ],
    );
    const onCassandra = opened.use(await serve({ NEBULA_STORE: cassandra, NEBULA_CACHE_TIME: "1s" }));
    const connected = await allConnectAgain(fleet, running);
    assert.deepEqual(containers(connected), containers(running), "a device restarted a container");
    assert.deepEqual(await clusterOf(onCassandra.api), cluster);
    assert.equal((await onCassandra.api.updateApp("web", { dockerImage: "shop:3" })).revision, 3n);
    const updated = await allRun(fleet, 3n);
    assert.equal((await onCassandra.api.createApp({ name: "gone", dockerImage: "shop:1" })).revision, 3n, "a revision was given twice");
    assert.equal(await onCassandra.api.deleteApp("gone"), 4n);
    await onCassandra.stop();

    // the folder from before the move is not taken, an empty one is
    const refused = await migrate(cassandra, `sqlite:${first}`);
    assert.equal(refused.code, 1, refused.output);
    assert.match(refused.output, /the target holds other data of this cluster \(app "\w+"\)/);
    const returned = await migrate(cassandra, "sqlite:", { NEBULA_DATA: back });
    assert.equal(returned.code, 0, returned.output);
    assert.deepEqual(await everythingIn(back), await everythingOn(cassandra));
    const last = opened.use(await serve({ NEBULA_DATA: back }));
    const atHome = await allConnectAgain(fleet, updated);
    assert.deepEqual(containers(atHome), containers(updated), "a device restarted a container");
    assert.deepEqual(await webOf(last.api), ["web 3"]);
    assert.equal((await last.api.updateApp("web", { dockerImage: "shop:4" })).revision, 4n);
    assert.equal((await last.api.createApp({ name: "gone", dockerImage: "shop:1" })).revision, 5n, "a revision was given twice");
    await allRun(fleet, 4n);
    const { deviceTokens } = await last.api.channel.unary(AccessService.method.listDeviceTokens, { pageSize: 1000 }, asAdmin(last.api));
    assert.equal(deviceTokens.length, DEVICES);
    await last.stop();
  });
});

import { strict as assert } from "node:assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openCassandra } from "../common/storage/cassandra/open-cassandra.ts";
import { TABLES } from "../common/storage/cassandra/schema/schema.ts";
import { freePort } from "../common/testing/free-port.ts";
import { cassandraUrl, freshKeyspace, requireStoppableServer } from "../common/testing/servers.ts";
import type { TestContainer } from "../common/testing/test-container.ts";
import { dropKeyspace, openOptions } from "../common/testing/test-keyspace.ts";
import { AccessService } from "../gen/nebula/v1/access_pb.ts";
import { Api } from "./harness/api.ts";
import { Program } from "./harness/program.ts";
import { SimulatedWorker } from "./harness/simulated-worker.ts";

const PASSWORD = "a password of the tests";
const ROTATED = "device-2";
const DEVICES = ["device-1", ROTATED];
const APPLIED_MS = 90_000;

/** nodetool, which the image of these tests lacks. */
const NODETOOL = [
  "java",
  "--add-exports java.base/sun.nio.ch=ALL-UNNAMED",
  "--add-exports java.base/jdk.internal.ref=ALL-UNNAMED",
  "--add-opens java.base/sun.nio.ch=ALL-UNNAMED",
  "-cp '/opt/cassandra/lib/*' org.apache.cassandra.tools.NodeTool -p 7199",
].join(" ");

describe("a cluster restored from snapshots of Cassandra", function () {
  this.timeout(400_000);
  const keyspace = freshKeyspace();
  let container: TestContainer;
  let url: string | undefined;
  let folder: string;
  let env: Readonly<Record<string, string>>;
  before(async function () {
    const server = await requireStoppableServer(this, "cassandra");
    container = server.container;
    url = cassandraUrl(server, keyspace);
    folder = await mkdtemp(join(tmpdir(), "nebula-e2e-drill-"));
    const secrets = { NEBULA_CLUSTER_KEY: "the key of a cluster that is restored", NEBULA_ADMIN_PASSWORD: PASSWORD };
    env = { ...secrets, NEBULA_STORE: url, NEBULA_DATA: folder, NEBULA_CACHE_TIME: "1s" };
  });
  after(async () => {
    if (url !== undefined) await dropKeyspace(url);
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  async function migrate(...args: string[]): Promise<string> {
    await using program = new Program(["migrate", ...args], { env });
    assert.equal(await program.exit(), 0, program.output);
    return program.output;
  }

  /** Takes a snapshot of the node, and copies it to a folder of its own, as to another machine. */
  async function backUp(): Promise<void> {
    await container.run(`${NODETOOL} snapshot -t drill ${keyspace}`);
    await container.run(
      `for from in /var/lib/cassandra/data/${keyspace}/*/snapshots/drill; do
         table=$(basename "$(dirname "$(dirname "$from")")"); mkdir -p /tmp/drill && cp -r "$from" "/tmp/drill/\${table%-*}"
       done`,
    );
  }

  /** As docs/backup.md says. */
  async function restore(): Promise<void> {
    {
      await using client = await openCassandra(openOptions(url ?? assert.fail()));
      for (const { name } of TABLES) await client.define(`TRUNCATE ${name}`);
    }
    const imported = await container.run(
      `for from in /tmp/drill/*; do
         ls "$from"/*-Data.db >/dev/null 2>&1 || continue
         ${NODETOOL} import --copy-data ${keyspace} "$(basename "$from")" "$from" >/tmp/import.log 2>&1 || { cat /tmp/import.log; exit 1; }
         basename "$from"
       done`,
    );
    const tables = imported.trim().split("\n");
    for (const table of ["cluster", "entity", "member", "enrolment", "device_token", "token_owner"])
      assert.ok(tables.includes(table), `${table} in ${imported}`);
  }

  it("a restored cluster holds no change made after the snapshot, and every device follows it again and says so, also one whose token was rotated since", async () => {
    const [httpPort, grpcPort] = [await freePort(), await freePort()];
    const listen = { NEBULA_HTTP_LISTEN: `127.0.0.1:${httpPort}`, NEBULA_GRPC_LISTEN: `127.0.0.1:${grpcPort}`, NEBULA_METRICS_LISTEN: "off" };
    await using opened = new AsyncDisposableStack();
    const serve = async () => {
      const program = opened.use(new Program(["server"], { env: { ...env, ...listen } }));
      await program.printed(/is up\./, 60_000);
      return { program, api: new Api(`127.0.0.1:${grpcPort}`, PASSWORD) };
    };
    const allApply = (api: Api, name: string, revision: bigint) =>
      Promise.all(DEVICES.map((device) => api.appStatus(device, name, ({ appliedRevision }) => appliedRevision === revision, APPLIED_MS)));

    await migrate();
    const first = await serve();
    await first.api.createApp({ name: "web", dockerImage: "shop:1" });
    await first.api.createGroup("shops", ["web"]);
    const asAdmin = { headers: first.api.headers, timeoutMs: 20_000 };
    const request = { deviceGroup: "shops", uses: DEVICES.length };
    const { token } = await first.api.channel.unary(AccessService.method.createEnrolmentToken, request, asAdmin);
    const workers = new Map(
      DEVICES.map((deviceId) => [
        deviceId,
        opened.use(new SimulatedWorker({ server: `grpc://127.0.0.1:${grpcPort}`, deviceId, enrollToken: token })),
      ]),
    );
    const rotated = workers.get(ROTATED) ?? assert.fail();
    await allApply(first.api, "web", 1n);
    await backUp();

    await rotated.rotateToken();
    await first.api.updateApp("web", { dockerImage: "shop:2" });
    await first.api.updateApp("web", { dockerImage: "shop:3" });
    await first.api.createApp({ name: "late", dockerImage: "shop:1" });
    await first.api.updateGroup("shops", ["web", "late"]);
    await allApply(first.api, "web", 3n);
    await allApply(first.api, "late", 1n);
    first.api[Symbol.dispose]();
    assert.equal(await first.program.stop(), 0, first.program.output);

    await restore();
    assert.match(await migrate("--after-restore"), /epoch 1 -> \d{10}; devices follow this store again/);
    const second = await serve();
    const updated = await second.api.updateApp("web", { dockerImage: "shop:other" });
    assert.equal(updated.revision, 2n, "a revision from after the snapshot is still there");
    await allApply(second.api, "web", 2n);
    assert.match(rotated.output, /the server knows the token from before the last rotation alone/);
    assert.doesNotMatch(rotated.output, /enrols again/);
    for (const [deviceId, { output }] of workers) {
      assert.match(output, /the config is of another cluster or epoch/, `${deviceId} went back to revision 2 unnoticed`);
      await second.api.reportedProblem(deviceId, "cluster_changed");
      const device = await second.api.device(deviceId);
      assert.deepEqual(
        device?.report?.apps.map(({ name, containers }) => [name, containers.map(({ image }) => image)]),
        [["web", ["docker.io/library/shop:other"]]],
      );
    }
    await second.api.updateApp("web", { dockerImage: "shop:newer" });
    await allApply(second.api, "web", 3n);
    second.api[Symbol.dispose]();
    assert.equal(await second.program.stop(), 0, second.program.output);
  });
});

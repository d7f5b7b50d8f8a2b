import { strict as assert } from "node:assert";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nebulactl } from "../cli/nebulactl/testing/test-cli.ts";
import { ADMIN, startTestServer, type TestServer } from "../cli/nebulactl/testing/test-server.ts";
import { systemClock } from "../common/clock/system-clock.ts";
import { eventually } from "../common/testing/eventually.ts";
import { SimulatedRuntime } from "../worker/runtime/simulated/simulated.ts";
import { startSimulated } from "./harness/in-process-worker.ts";

const SHOP = `kind: app
name: web
docker_image: shop:1.4
containers_per: { server: 2 }
secret_env_vars: { TOKEN: the-first-secret }
---
kind: device_group
name: pos
apps: [web]
`;
const DEVICES = 3;

describe("plans of nebulactl, with a server and devices", function () {
  this.timeout(90_000);
  const parts = new AsyncDisposableStack();
  let server: TestServer;
  let folder = "";
  const run = (args: string, stdin = "") => nebulactl(args, { stdin, env: { NEBULA_SERVER: server.http, NEBULA_TOKEN: ADMIN.token } });
  const file = () => join(folder, "shop.yaml");

  async function printed(args: string, stdin = ""): Promise<string> {
    const { code, out, err } = await run(args, stdin);
    assert.deepEqual({ code, err }, { code: 0, err: "" }, args);
    return out;
  }

  type ListedDevice = Readonly<{ connection?: { state: string }; report?: { apps?: { applied_revision: number }[] } }>;

  /** Resolves once each device says that it runs this revision, and counts as connected: its first report may come before that is stored. */
  async function applied(revision: number): Promise<void> {
    await eventually(
      async () => {
        const listed: readonly ListedDevice[] = JSON.parse(await printed("devices list -o json"));
        const runs = ({ connection, report }: ListedDevice) =>
          connection?.state === "CONNECTION_STATE_ONLINE" && report?.apps?.[0]?.applied_revision === revision;
        return listed.length === DEVICES && listed.every(runs);
      },
      { timeoutMs: 30_000 },
    );
  }

  before(async () => {
    server = parts.use(await startTestServer());
    folder = await mkdtemp(join(tmpdir(), "nebula-e2e-plan-files-"));
    parts.defer(() => rm(folder, { recursive: true, force: true }));
    await writeFile(file(), SHOP);
  });
  after(() => parts.disposeAsync());

  it("a plan of what is new says so, and writes nothing", async () => {
    const out = await printed(`plan -f ${file()}`);
    assert.match(out, /^app web {11}created +revision 1\ndevice_group pos {2}created +revision 1\n/);
    assert.match(out, /\nreaches 0 devices in 1 device_group\n/);
    assert.ok(!out.includes("the-first-secret"), out);
    assert.equal((await run("get all")).out, "");
  });

  it("a plan names what each device does, and its apply has the devices do it", async () => {
    await printed(`apply -f ${file()}`);
    const engines = Array.from({ length: DEVICES }, () => new SimulatedRuntime({ clock: systemClock }));
    const devices = { server: { grpcPort: Number(server.grpc.split(":").at(-1)), password: ADMIN.password }, deviceGroup: "pos" };
    await Promise.all(engines.map(async (engine, index) => parts.use(await startSimulated({ ...devices, deviceId: `pos-${index + 1}` }, engine))));
    await applied(1);
    await writeFile(file(), SHOP.replace("shop:1.4", "shop:1.5").replace("server: 2", "server: 3").replace("the-first-secret", "the-second-secret"));
    const out = await printed(`plan -f ${file()}`);
    assert.match(out, /^app web {11}containers_per +\{"server":2\} -> \{"server":3\} +revision 1 -> 2\n/);
    assert.match(out, /\n {18}docker_image +shop:1\.4 -> shop:1\.5\n/);
    assert.match(out, /\n {18}secret_env_vars +TOKEN: secret:[0-9a-f]{8} -> \(a value\)\n/);
    assert.match(out, /\ndevice_group pos {2}unchanged\n/);
    assert.match(out, /\nreaches 3 devices in 1 device_group \(3 connected, 0 offline\)\n/);
    assert.match(out, /\n3 re-create 2 containers, 3 add 1 container, 3 pull shop:1\.5\n/);
    assert.ok(!out.includes("secret\n") && !/the-(first|second)-secret/.test(out), out);
    const [, id] = /\nplan ([0-9a-f]{8}-[0-9a-z]+): nebulactl apply -f \S+ --plan \1\n$/.exec(out) ?? assert.fail(out);

    const made: string[][] = engines.map(() => []);
    for (const [index, engine] of engines.entries()) {
      engine.before = ({ method, target }) => {
        if (["create", "remove", "pull"].includes(method)) made[index]?.push(method === "pull" ? `pull ${target}` : method);
      };
    }
    await printed(`apply -f ${file()} --plan ${id}`);
    await applied(2);
    for (const calls of made) {
      const count = (name: string) => calls.filter((call) => call.startsWith(name)).length;
      assert.deepEqual([count("create"), count("remove"), count("pull ")], [3, 2, 1], calls.join(", "));
    }
  });

  it("a plan with nothing to do says so, and its exit code tells", async () => {
    const same = await run(`plan -f ${file()} --exit-code`);
    assert.equal(same.code, 0, same.err);
    assert.match(same.out, /\nnothing to do\n$/);
    await writeFile(file(), SHOP);
    assert.equal((await run(`plan -f ${file()} --exit-code`)).code, 2);
    assert.equal((await run(`plan -f ${file()}x --exit-code`)).code, 1);
  });

  it("a plan that does not hold any more is not written, and the error says what has changed", async () => {
    const planned = JSON.parse(await printed(`plan -f ${file()} -o json`));
    assert.equal(planned.changes_anything, true);
    assert.match(await printed(`plan -f ${file()} -o yaml`), new RegExp(`^plan: "?${planned.plan}"?\nchanges_anything: true\n`));
    assert.deepEqual(planned.reach.devices, DEVICES);
    await printed("apps update web --env NEW=1");
    const revision = async () => JSON.parse(await printed("apps info web -o json")).revision;
    const before = await revision();
    const stale = await run(`apply -f ${file()} --plan ${planned.plan}`);
    assert.deepEqual([stale.code, stale.out], [1, ""]);
    assert.match(stale.err, /plan \S+ does not hold any more: app web was changed to revision 3 \d+ s ago by admin; nothing was written/);
    await writeFile(file(), SHOP.replace("shop:1.4", "shop:1.6"));
    const other = await run(`apply -f ${file()} --plan ${planned.plan}`);
    assert.match(other.err, /the files describe other changes than when it was made/);
    assert.match((await run(`apply -f ${file()} --plan latest`)).err, /invalid --plan "latest"/);
    assert.equal(await revision(), before);
  });

  it("apply --dry-run prints the plan, and writes nothing", async () => {
    await applied(3); // what both say of the devices is the same
    assert.equal(await printed(`apply -f ${file()} --dry-run`), await printed(`plan -f ${file()}`));
    assert.equal(JSON.parse(await printed("apps info web -o json")).revision, 3);
  });
});

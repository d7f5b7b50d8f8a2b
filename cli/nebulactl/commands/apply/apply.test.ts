import { strict as assert } from "node:assert";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nebulactl, type RunOptions } from "../../testing/test-cli.ts";
import { ADMIN, startTestServer, type TestServer } from "../../testing/test-server.ts";

const SHOP = `
kind: device_group
name: pos
apps: [web, api]
cron_jobs: [backup]
---
kind: app
name: web
docker_image: shop:1.4
starting_ports: [80, {"8080": "81"}, "53/udp"]
containers_per: { server: 2 }
env_vars: { REGION: eu, VERSION: 1.10 }
healthcheck: { test: [CMD, wget, localhost], interval_ms: 5000 }
ulimits: [{ name: nofile, soft: 1024, hard: 2048 }]
---
kind: app
name: api
docker_image: api:1
---
kind: cron_job
name: backup
docker_image: backup:1
schedule: "0 3 * * *"
`;

describe("nebulactl get and apply", () => {
  let server: TestServer;
  let folder: string;
  beforeEach(async () => {
    server = await startTestServer();
    folder = await mkdtemp(join(tmpdir(), "nebulactl-"));
  });
  afterEach(async () => {
    await server[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  const run = (args: string | readonly string[], options: RunOptions = {}) =>
    nebulactl(args, { ...options, env: { NEBULA_SERVER: server.http, NEBULA_TOKEN: ADMIN.token } });

  async function printed(args: string, stdin = ""): Promise<string> {
    const { code, out, err } = await run(args, { stdin });
    assert.deepEqual({ code, err }, { code: 0, err: "" }, args);
    return out;
  }

  it("apply creates resources in the order of their references, then changes only those that differ", async () => {
    assert.equal(
      await printed("apply -f -", SHOP),
      "app web           created 1\napp api           created 1\ncron_job backup   created 1\ndevice_group pos  created 1\n",
    );
    const changed = SHOP.replace("shop:1.4", "shop:1.5").replace("REGION: eu, ", "").replace("[web, api]", "[web]");
    assert.equal(
      await printed("apply -f -", changed),
      "app web           updated 1 -> 2\n    docker_image  shop:1.4 -> shop:1.5\n    env_vars      - REGION\napp api           unchanged 1\ncron_job backup   unchanged 1\ndevice_group pos  updated 1 -> 2\n    apps  - api\n",
    );
  });

  it("a round trip changes nothing: apply takes the output of get", async () => {
    await printed("apply -f -", SHOP);
    for (const format of ["yaml", "json"]) {
      const all = await printed(`get all -o ${format}`);
      const again = await printed("apply -f -", all);
      assert.deepEqual(again.match(/unchanged/g)?.length, 4, again);
      for (const one of ["apps web", "cron_jobs backup", "device_group pos"]) {
        assert.match(await printed("apply -f -", await printed(`get ${one} -o ${format}`)), /^\S+ \S+ {2}unchanged 1\n$/);
      }
    }
    const web = await printed("get apps web -o yaml");
    await printed("device-groups delete pos");
    await printed("apps delete web");
    assert.equal(await printed("apply -f -", web), "app web  created 3\n");
    assert.equal(await printed("get apps web -o yaml"), web);
  });

  it("apply gives a field that a document leaves out its default", async () => {
    await printed("apply -f -", "kind: app\nname: web\ndocker_image: shop:1\nprivileged: true\nenv_vars: {A: b}\n");
    assert.equal(
      await printed("apply -f -", "kind: app\nname: web\ndocker_image: shop:1\n"),
      "app web  updated 1 -> 2\n    env_vars    - A\n    privileged  true -> default\n",
    );
  });

  it("apply refuses everything before anything is written", async () => {
    await writeFile(join(folder, "good.yaml"), "kind: app\nname: web\ndocker_image: shop:1\n");
    await writeFile(join(folder, "bad.yaml"), "kind: app\nname: api\ndocker_imag: api:1\nprivileged: maybe\n");
    const bad = await run(["apply", "-f", folder]);
    assert.deepEqual([bad.code, bad.out], [1, ""]);
    assert.match(bad.err, /^error: 2 fields are invalid:\n/);
    assert.match(bad.err, /bad\.yaml:3: app api: docker_imag: unknown field; use docker_image\n/);

    const dangling = await run("apply -f -", {
      stdin: "kind: app\nname: web\ndocker_image: shop:1\n---\nkind: device_group\nname: pos\napps: [web, nope]\n",
    });
    assert.deepEqual([dangling.code, dangling.out], [1, ""]);
    assert.equal(
      dangling.err,
      'error: device_group pos: apps[1]: there is no app "nope", neither in the files nor on the server: create it, or leave it out\n',
    );

    const twice = await run(["apply", "-f", join(folder, "good.yaml"), "-f", "-"], { stdin: "kind: app\nname: web\ndocker_image: shop:2\n" });
    assert.deepEqual([twice.code, twice.out], [1, ""]);
    assert.match(twice.err, /standard input:1: app web: name: is in .*good\.yaml:1 already/);
    assert.equal(await printed("get apps -o json"), "[]\n");
  });

  it("apply stops at the first error and prints what was written", async () => {
    await printed("apply -f -", "kind: app\nname: b\ndocker_image: shop:1\n");
    const aborting = new AbortController();
    const files =
      "kind: app\nname: a\ndocker_image: shop:1\n---\nkind: app\nname: b\ndocker_image: shop:2\n---\nkind: app\nname: c\ndocker_image: shop:1\n";
    const outcome = await nebulactl("apply -f - -o json", {
      stdin: files,
      env: { NEBULA_SERVER: server.http, NEBULA_TOKEN: ADMIN.token },
      signal: aborting.signal,
      onOut: (text) => {
        if (text.includes('"a"')) aborting.abort(new Error("stopped by the test"));
      },
    });
    assert.equal(outcome.code, 1);
    assert.deepEqual(
      outcome.out
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line)),
      [{ kind: "app", name: "a", result: "created", revision: 1, changes: [] }],
    );
    assert.match(outcome.err, /^error: stopped at app b: .+ \(written before: app a; not tried: 1 more\)\n$/);
    assert.equal(await printed("get apps -o json").then((all) => JSON.parse(all).length), 2);
  });

  it("apply prints the change of each resource, for a program", async () => {
    await printed("apply -f -", "kind: app\nname: web\ndocker_image: shop:1\n");
    const lines = await printed("apply -f - -o json", "kind: app\nname: web\ndocker_image: shop:2\n");
    assert.deepEqual(JSON.parse(lines), {
      kind: "app",
      name: "web",
      result: "updated",
      revision_before: 1,
      revision: 2,
      changes: [{ field: "docker_image", before: "shop:1", after: "shop:2" }],
    });
  });

  it("get names the kinds that it knows", async () => {
    for (const [args, message] of [
      ["get aps", /invalid noun "aps" for "get": use apps/],
      ["get all web", /get all takes no name/],
      ["get apps nope", /nope/],
      ["get", /get needs NOUN or --kind/],
      ["apply", /apply needs --file/],
    ] as const) {
      const { code, err } = await run(args);
      assert.equal(code, 1, args);
      assert.match(err, message);
    }
  });
});

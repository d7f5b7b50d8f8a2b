import { strict as assert } from "node:assert";
import { asAdmin } from "../../testing/as-admin.ts";
import { startTestServer, type TestServer } from "../../testing/test-server.ts";

describe("nebulactl on apps, cron_jobs and device_groups", () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server[Symbol.asyncDispose]());

  const { run, printed, refused } = asAdmin(() => server);

  it("nebulactl creates, shows, changes, lists and deletes an app", async () => {
    assert.equal(
      await printed("apps create web --image shop:1.4 --starting_ports 8080:80,53/udp -e REGION:eu,URL:http://x:1"),
      "app web  created 1\n",
    );
    await refused("apps create web --image shop:1.4", /error: .*web.*\n/);

    const info = await printed("apps info --app web");
    for (const line of [
      /^name +web$/m,
      /^revision +1$/m,
      /^docker_image +shop:1\.4$/m,
      /^running +true$/m,
      /^starting_ports +\[\{"8080":"80"\},"53\/udp"\]$/m,
      /^last_change +\d+ s ago by admin$/m,
    ]) {
      assert.match(info, line);
    }

    assert.equal(
      await printed("apps update web --image shop:1.5 --env REGION=us --unset-env URL"),
      "app web  updated 1 -> 2\n    docker_image  shop:1.4 -> shop:1.5\n    env_vars      REGION: eu -> us\n                  - URL\n",
    );
    assert.equal(await printed("apps update web --image shop:1.5"), "app web  unchanged 2\n");
    assert.match(await printed("apps update web --redeploy"), /^app web {2}updated 2 -> 3\n$/);
    assert.match(
      await printed("apps list"),
      /^APP +REVISION +IMAGE +RUNNING +PORTS +CONTAINERS\nweb +3 +shop:1\.5 +yes +8080:80,53\/udp +server:1\n$/,
    );

    assert.equal(await printed("apps stop web"), "app web stopped, revision 4\n");
    await refused("apps restart web", /error: .*web/);
    assert.equal(await printed("apps start -a web"), "app web started, revision 5\n");
    assert.equal(await printed("apps restart web"), "app web restarted, revision 6\n");

    assert.equal(await printed("apps delete web"), "app web deleted, revision 7\n");
    await refused("apps info web", /error: .*web/);
    assert.equal(await printed("apps create web --image shop:1.6 --stopped"), "app web  created 8\n");
    assert.equal(await printed("apps delete web --yes"), "app web deleted, revision 9\n");
  });

  it("nebulactl prints entities for programs", async () => {
    await printed("apps create json --image shop:1 --containers_per cpu:0.5");
    const info = JSON.parse(await printed("apps info json -o json"));
    assert.deepEqual(
      [info.name, info.revision, info.running, info.containers_per, info.networks],
      ["json", 1, true, { cpu: 0.5 }, ["nebula", "bridge"]],
    );
    assert.equal(info.last_change.by, "admin");
    assert.deepEqual(
      JSON.parse(await printed("apps list -o json")).map(({ name }: { name: string }) => name),
      ["json"],
    );
    assert.equal(JSON.parse(await printed("apps update json --image shop:2 -o json")).revision, 2);
    assert.match(await printed("apps list -o yaml"), /^- name: json\n/);
    assert.equal(JSON.parse(await printed("apps restart json -o json")).restart_count, 1);
    assert.deepEqual(JSON.parse(await printed("apps delete json -o json")), { name: "json", revision: 4 });
    assert.equal(await printed("apps list -o json"), "[]\n");
    assert.deepEqual(await run("apps list"), { code: 0, out: "", err: "no apps\n" });
  });

  it("nebulactl honours --if-revision", async () => {
    await printed("apps create cas --image shop:1");
    await refused("apps update cas --image shop:2 --if-revision 7", /error: .*(7|1)/);
    await refused("apps delete cas --if-revision 7", /error: /);
    assert.match(await printed("apps update cas --image shop:2 --if-revision 1"), /updated 1 -> 2/);
    assert.match(await printed("apps delete cas --if-revision 2"), /revision 3/);
  });

  it("nebulactl refuses invalid values, all at once, before the call and at the server", async () => {
    const several = await run("apps create -a .web -i UPPER/case -n nope,host");
    assert.equal(several.code, 1);
    assert.match(several.err, /^error: \d+ fields are invalid:\n( {2}.+\n)+$/);
    await refused("apps create web --image shop:1 --starting_ports 80:x", /invalid port "80:x" in --starting-ports/);
    await printed("apps create web --image shop:1");
    await refused(["apps", "update", "web", "--image", "UPPER case"], /error: docker_image/);
    await refused("apps update web", /nothing to change in app web; use the flag of a field, or --redeploy/);
    await refused("apps update nope --image shop:1", /nope/);
    await printed("apps delete web");
  });

  it("nebulactl creates, changes and deletes a cron_job", async () => {
    assert.equal(
      await printed(["cron_jobs", "create", "--cron_job", "backup", "--image", "backup:1", "--schedule", "0 3 * * *"]),
      "cron_job backup  created 1\n",
    );
    assert.equal(
      await printed("cron-jobs update backup --schedule @daily --overlap replace"),
      "cron_job backup  updated 1 -> 2\n    overlap   default -> replace\n    schedule  0 3 * * * -> @daily\n",
    );
    assert.match(await printed("cron_job list"), /backup +2 +@daily +backup:1 +yes\n$/);
    assert.match(await printed("cron_jobs info backup"), /^schedule +@daily$/m);
    await refused("cron_jobs create bad --image backup:1 --schedule tomorrow", /error: schedule/);
    assert.equal(await printed("cron_jobs delete backup"), "cron_job backup deleted, revision 3\n");
  });

  it("nebulactl creates, changes, prunes and deletes a device_group", async () => {
    await printed("apps create web --image shop:1");
    await printed("apps create api --image shop:1");
    assert.equal(await printed("device_groups create --device_group pos --apps web"), "device_group pos  created 1\n");
    assert.equal(await printed("device-groups update pos --apps web,api"), "device_group pos  updated 1 -> 2\n    apps  + api\n");
    assert.match(await printed("device-groups list"), /pos +2 +web,api +1\n$/);
    await refused("device-groups update pos --apps web,nope", /nope/);

    assert.equal(await printed("device-groups prune pos"), "device_group pos prunes, prune_id 2\n");
    assert.equal(await printed("prune device_group --device_group pos"), "device_group pos prunes, prune_id 3\n");
    assert.equal(await printed("prune --all"), "device_group pos prunes, prune_id 4\n");
    assert.equal(await printed("prune all"), "device_group pos prunes, prune_id 5\n");
    assert.deepEqual(JSON.parse(await printed("prune all -o json")), { prune_ids: { pos: 6 } });
    await refused("prune", /prune needs --device-group GROUP or --all/);
    await refused("prune --device-group nope", /nope/);

    const { code, err } = await run("apps delete api --yes");
    assert.equal(code, 0);
    assert.match(err, /^warning: .*pos/);
    assert.match(await printed("device-groups delete pos"), /^device_group pos deleted, revision \d+\n$/);
    await printed("apps delete web --yes");
  });

  it("nebulactl works over gRPC alike", async () => {
    const env = { NEBULA_SERVER: server.grpc };
    assert.equal(await printed("apps create rpc --image shop:1", { env }), "app rpc  created 1\n");
    await refused("apps create rpc --image shop:1", /rpc/, { env });
    const { err } = await run("apps update rpc --volumes relative/x:nope --devices nope", { env });
    assert.match(err, /^error: 2 fields are invalid:\n {2}devices.+\n {2}volumes.+\n|^error: 2 fields are invalid:\n {2}volumes.+\n {2}devices.+\n/);
    assert.match(await printed("ping", { env }), /^server +grpc:\/\/127\.0\.0\.1:\d+ answers/);
    await printed("apps delete rpc", { env });
  });

  it("nebulactl asks on a terminal for missing values, and before a delete", async () => {
    const created = await run("apps create", { answers: ["asked", "shop:1"] });
    assert.deepEqual([created.code, created.out], [0, "app asked  created 1\n"]);
    const kept = await run("apps delete asked", { answers: ["n"] });
    assert.deepEqual([kept.code, kept.out], [1, ""]);
    assert.match(kept.err, /Delete app asked\? \[y\/N\] error: app asked was not deleted/);
    const deleted = await run("apps delete", { answers: ["asked", "y"] });
    assert.deepEqual([deleted.code, deleted.out], [0, "app asked deleted, revision 2\n"]);
    await refused("apps create", /error: apps create needs APP or --app, and --image/);
    await refused("apps delete", /error: apps delete needs APP or --app/);
  });

  it("nebulactl lists page by page up to the limit, and says how to go on", async () => {
    for (let index = 0; index < 5; index++) await printed(`apps create many${index} --image shop:1`);
    const cut = await run("apps list --limit 3");
    assert.deepEqual([cut.out.split("\n").length, cut.err], [1 + 3 + 1, "showing 3; more with --last-id many2\n"]);
    assert.match(await printed("apps list --limit 3 --last-id many2"), /^APP.*\nmany3 .*\nmany4 .*\n$/);
    assert.equal((await printed("apps list")).split("\n").length, 1 + 5 + 1);
    for (let index = 0; index < 5; index++) await printed(`apps delete many${index}`);
  });
});

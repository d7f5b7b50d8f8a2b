import { strict as assert } from "node:assert";
import { asAdmin } from "../../testing/as-admin.ts";
import { assertGolden } from "../../testing/golden.ts";
import { startTestServer, type TestServer } from "../../testing/test-server.ts";

/** The columns of a history, two blanks apart: how wide they are depends on the ages. */
const withoutAges = (text: string) => text.replaceAll(/\b\d+ (s|min)\b/g, "AGE").replaceAll(/ {2,}/g, "  ");
const withoutTimes = (text: string) => text.replaceAll(/"at":"[^"]+"/g, '"at":"TIME"').replaceAll(/at: .*Z"?/g, "at: TIME");
const withoutClock = (text: string) => text.replaceAll(/\b\d+:\d\d$/gm, "0:00");
const golden = (name: string, text: string) => assertGolden(new URL(`golden/${name}`, import.meta.url), withoutTimes(text));

describe("nebulactl history, rollback and get --at", function () {
  this.timeout(180_000);
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server[Symbol.asyncDispose]());
  const { run, printed, refused } = asAdmin(() => server);

  /** An app with a history of every kind of difference. */
  async function makeWeb(): Promise<void> {
    await printed("apps create web --image shop:1.4 --env REGION=eu --starting_ports 80:8080");
    await printed("apps update web --image shop:1.5 --env REGION=us --env LANG=en --starting_ports 80:8080,53/udp");
    await printed("apps stop web");
    await printed("apps start web");
    await printed("apps restart web");
  }

  it("nebulactl history shows each revision field by field, and rollback what it would change, did and left", async () => {
    await makeWeb();
    await golden("history.txt", withoutAges(await printed("history web")));
    await golden("history-json.txt", await printed("history app/web -o json"));
    await golden("history-yaml.txt", (await run("history web --limit 2 -o yaml")).out);

    await golden("rollback-dry-run.txt", await printed("rollback web --to 1 --dry-run"));
    assert.match(await printed("apps info web"), /^revision +5$/m);
    await golden("rollback.txt", await printed("rollback web --to 1 --yes"));
    assert.match(await printed("apps info web"), /^docker_image +shop:1\.4$/m);
    await golden("rollback-json.txt", await printed("rollback web --to 5 --yes -o json"));
    assert.equal(await printed("rollback web --to 5 --yes"), "app web  unchanged 7: nothing differs from revision 5\n");
    assert.match((await run("history web --limit 1")).out, /6 -> 7 .*rollback +docker_image +shop:1\.4 -> shop:1\.5/);
    const more = await run("history web --limit 2");
    assert.match(more.err, /^showing 2; more with --last-id \S+\n$/);
    const rest = await printed(`history web --last-id ${more.err.trim().split(" ").at(-1)}`);
    assert.match(rest, /^REVISION .*\n4 -> 5 /);
    await printed("apps delete web");
  });

  it("nebulactl rollback shows the plan and asks on a terminal, and needs --yes without one", async () => {
    await printed("apps create asked --image shop:1");
    await printed("apps update asked --image shop:2");
    const without = await run("rollback asked");
    assert.deepEqual([without.code, without.out], [1, ""]);
    await golden("rollback-without-terminal.txt", without.err);
    const no = await run("rollback asked", { answers: ["n"] });
    assert.deepEqual([no.code, no.out], [1, ""]);
    assert.match(
      no.err,
      /shop:2 -> shop:1\nreaches no device_group\nRoll back app asked to revision 1\? \[y\/N\] .*error: app asked was not rolled back\n/,
    );
    assert.match(await printed("apps info asked"), /^revision +2$/m);
    const yes = await run("rollback asked", { answers: ["y"] });
    assert.deepEqual([yes.code, yes.out], [0, "app asked  rolled back 2 -> 3, as revision 1 was\n    docker_image  shop:2 -> shop:1\n"]);
    await printed("apps delete asked");
  });

  it("nebulactl rollback makes nothing of a plan that was overtaken while it asked", async () => {
    await printed("apps create slow --image shop:1");
    await printed("apps update slow --image shop:2");
    const overtaken = await run("rollback slow", {
      answers: ["y"],
      onAsk: async () => {
        await printed("apps update slow --image shop:3");
      },
    });
    assert.equal(overtaken.code, 1);
    assert.match(overtaken.err, /error: .*is at revision 3, not at 2/);
    assert.match(await printed("apps info slow"), /^docker_image +shop:3$/m);
    await printed("apps delete slow");
  });

  it("nebulactl rollback keeps secret values, says which, and brings them back with --secrets", async () => {
    for (const change of ["create safe --image shop:1 --secret-env TOKEN=one", "update safe --image shop:2 --secret-env TOKEN=two"])
      assert.equal((await run(`apps ${change}`)).code, 0);
    const kept = await printed("rollback safe --yes");
    assert.equal(
      kept,
      "app safe  rolled back 2 -> 3, as revision 1 was\n    docker_image  shop:2 -> shop:1\n    as they are today: secret_env_vars TOKEN; --secrets brings the older values back\n",
    );
    assert.match(await printed("rollback safe --to 1 --secrets --yes"), /secret_env_vars {2}TOKEN: secret:[0-9a-f]{8} -> secret:[0-9a-f]{8}\n$/);
    await printed("apps delete safe");
  });

  it("nebulactl rollback says on which devices it works, also where secret values come back that only the server knows", async () => {
    for (const change of [
      "create cash --image shop:1 --secret-env OLD=one --secret-env SAME=same",
      "update cash --image shop:2 --secret-env SAME=other --unset-secret-env OLD",
    ])
      assert.equal((await run(`apps ${change}`)).code, 0, change);
    await printed("device-groups create cashiers --apps cash");
    for (const flags of ["", " --secrets"]) {
      const shown = await printed(`rollback cash${flags} --dry-run`);
      assert.match(shown, /docker_image +shop:2 -> shop:1\n[\s\S]*\nreaches 0 devices in 1 device_group\n/, flags);
    }
    const { plan } = JSON.parse(await printed("rollback cash --dry-run -o json"));
    assert.equal(plan.changes_anything, true);
    await printed("device-groups delete cashiers");
    await printed("apps delete cash");
  });

  it("nebulactl rollback --wait follows the change to the devices, and does not succeed where none is online", async () => {
    await printed("apps create followed --image shop:1");
    await printed("apps update followed --image shop:2");
    await printed("device-groups create followed --apps followed");
    const { code, out } = await run("rollback app/followed --yes --wait --settle 0s --timeout 20s");
    assert.equal(code, 3);
    await golden("rollback-wait.txt", withoutClock(out));
    const unchanged = await run("rollback app/followed --to 1 --yes --wait --settle 0s --timeout 20s");
    assert.equal(unchanged.code, 3, "no device is online to say that it landed");
    await golden("rollback-wait-unchanged.txt", withoutClock(unchanged.out));
    assert.equal((await run("rollback app/followed --to 1 --dry-run --wait")).code, 0, "a dry run changes nothing that could land");
    await printed("device-groups update followed --apps []");
    const group = await run("rollback device_group/followed --yes --wait --settle 0s --timeout 20s -o json");
    assert.equal(group.code, 3);
    const [done, message] = group.out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    assert.deepEqual([done.result, done.body.apps, typeof message.counts], ["rolled back", ["followed"], "object"]);
    await refused("rollback app/followed --yes --wait -o yaml", /--wait/);
    await printed("device-groups delete followed");
    await printed("apps delete followed");
  });

  it("nebulactl rollback brings a deleted app and group back, and warns as an update does", async () => {
    await printed("apps create gone --image shop:1 --privileged");
    await printed("device-groups create till --apps gone");
    await run("apps delete gone --yes");
    const unable = await run("rollback till --yes");
    assert.deepEqual([unable.code, unable.out], [1, ""]);
    assert.match(unable.err, /^error: no revision of device_group till before 1 is kept/);
    await golden("rollback-restored-dry-run.txt", await printed("rollback gone --dry-run"));
    await golden("rollback-restored.txt", await printed("rollback gone --yes"));
    assert.match(
      await printed("history gone"),
      /2 -> 3 +\d+ s +admin +rollback +docker_image +\+ shop:1\n.*privileged +\+ true\n1 -> 2 +\d+ s +admin +delete\n1 /,
    );
    await printed("device-groups delete till");
    await printed("apps delete gone");
  });

  it("nebulactl history refuses a name that two kinds share, and takes the kind before it", async () => {
    await printed("apps create both --image shop:1");
    await printed(["cron-jobs", "create", "both", "--image", "backup:1", "--schedule", "@daily"]);
    for (const command of ["history both", "rollback both --yes"]) {
      await refused(command, /^error: "both" is the name of several: app and cron_job; use app\/both or cron_job\/both\n$/);
    }
    for (const kind of ["cron_job", "cron-jobs"])
      assert.match(await printed(`history ${kind}/both`), /create +docker_image +\+ backup:1\n.*schedule +\+ @daily\n/);
    await refused("history crons/both", /invalid NAME "crons\/both": use web, app\/web, cron_job\/web or device_group\/web/);
    await refused("history never", /there is no app, cron_job or device_group "never": create it, or look for its name/);
    await printed("cron-jobs delete both");
    await refused("history both", /app and cron_job \(deleted\)/);
    await printed("apps delete both");
  });

  it("nebulactl history without a name lists what was changed of everything, by time", async () => {
    await printed("apps create listed --image shop:1");
    await printed("device-groups create listed --apps listed");
    await printed("apps update listed --image shop:2");
    assert.match(
      (await run("history --since 1h --limit 3")).out,
      /^AGE +BY +NAME +REVISION +CHANGE\n\d+ s +admin +app\/listed +1 -> 2 +update\n\d+ s +admin +device_group\/listed +1 +create\n\d+ s +admin +app\/listed +1 +create\n$/,
    );
    const [newest] = JSON.parse((await run("history --limit 1 -o json")).out);
    assert.deepEqual({ ...newest, at: "" }, { kind: "app", name: "listed", at: "", by: "admin", revision_before: 1, revision: 2, change: "update" });
    assert.deepEqual(await run("history app/listed --until 1h"), { code: 0, out: "", err: "no revisions\n" });
    await run("device-groups delete listed --yes");
    await printed("apps delete listed");
  });

  it("nebulactl get prints a resource as it was at a revision, so that apply takes it", async () => {
    await printed("apps create old --image shop:1 --env A=1");
    await printed("apps update old --image shop:2");
    assert.equal(await printed("get apps old --at 1"), 'kind: app\nname: old\ndocker_image: shop:1\nenv_vars:\n  A: "1"\n');
    assert.deepEqual(JSON.parse(await printed("get apps old --at 2 -o json")).docker_image, "shop:2");
    await run("apply -f -", { stdin: await printed("get apps old --at 1") });
    assert.match(await printed("apps info old"), /^docker_image +shop:1$/m);
    await refused("get apps old --at 9", /revision 9 of app old never was, or is no longer kept/);
    await refused("get apps --at 1", /--at is of one resource/);
    await refused("get user-groups staff --at 1", /user_groups have no history/);
    await printed("apps delete old");
    await refused("get apps old --at 4", /revision 4 of app old is its delete/);
  });
});

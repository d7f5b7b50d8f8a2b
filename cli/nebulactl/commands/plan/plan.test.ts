import { strict as assert } from "node:assert";
import { asAdmin } from "../../testing/as-admin.ts";
import { startTestServer, type TestServer } from "../../testing/test-server.ts";

const FILE = ["web", "api", "db", "cache"].map((name) => `kind: app\nname: ${name}\ndocker_image: shop:2\n`).join("---\n");

describe("a plan that was overtaken", () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
    for (const name of ["web", "api", "db", "cache"]) await printed(`apps create ${name} --image shop:1`);
    await printed("device-groups create pos --apps web");
    await printed("device-groups create till --apps api");
  });
  after(() => server[Symbol.asyncDispose]());
  const { run, printed } = asAdmin(() => server);

  /** The name of the plan of the file, as its last line has it. */
  async function planned(): Promise<string> {
    const { out } = await run("plan -f -", { stdin: FILE });
    return /--plan (\S+)\n$/.exec(out)?.[1] ?? assert.fail(out);
  }

  /** The reason of an apply of that plan for writing nothing. */
  async function refusal(name: string): Promise<string> {
    const { code, out, err } = await run(`apply -f - --plan ${name}`, { stdin: FILE });
    assert.deepEqual([code, out], [1, ""]);
    return /^error: plan \S+ does not hold any more: (.*); nothing was written\. Run nebulactl plan again\n$/.exec(err)?.[1] ?? assert.fail(err);
  }

  it("apply --plan of a plan that was overtaken names what changed since the plan was made, and no older change", async () => {
    const name = await planned();
    assert.equal(await planned(), name, "equal plans have equal names");
    await printed("apps update db --env NEW=1");
    assert.match(await refusal(name), /^app db was changed to revision 2 \d+ s ago by admin$/);
    await printed("device-groups update till --apps api,cache");
    assert.match(
      await refusal(name),
      /^device_group till was changed to revision 2 \d+ s ago by admin; app db was changed to revision 2 \d+ s ago by admin$/,
    );
    for (const app of ["web", "api"]) await printed(`apps update ${app} --env NEW=1`);
    assert.match(await refusal(name), /^app api .*; app web .*; device_group till .*; and 1 more$/);
    assert.equal(await refusal(name.slice(0, 8)), "what it was made from has changed");
  });

  it("apply --plan of a plan whose device_groups lost the app meanwhile says that what it was made from has changed", async () => {
    const name = await planned();
    await printed("device-groups update pos --apps []");
    assert.equal(await refusal(name), "what it was made from has changed");
  });

  it("apply --plan writes a plan that holds, by its whole name and by its first digits, and refuses what can't name one", async () => {
    const name = await planned();
    assert.match((await run("apply -f - --plan latest", { stdin: FILE })).err, /invalid --plan "latest": it must be the id that plan printed/);
    const { code, out } = await run(`apply -f - --plan ${name}`, { stdin: FILE });
    assert.deepEqual([code, out.match(/updated/g)?.length], [0, 4]);
    const { plan } = JSON.parse((await run("plan -f - -o json", { stdin: FILE })).out);
    for (const same of [plan, plan.slice(0, 6)]) assert.equal((await run(`apply -f - --plan ${same}`, { stdin: FILE })).code, 0);
  });
});

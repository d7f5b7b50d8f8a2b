import { strict as assert } from "node:assert";
import { nebulactl, type RunOptions } from "../../testing/test-cli.ts";
import { ADMIN, startTestServer, type TestServer } from "../../testing/test-server.ts";

type Entry = { who: string; name: string; outcome: string; revision_after: string; request_id: string };

describe("nebulactl audit", () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
    await printed("apps create web --image nginx:1");
    await printed("apps update web --image nginx:2");
    assert.equal((await run("apps start nope")).code, 1);
    assert.equal((await run("apps stop web", { env: { NEBULA_SERVER: server.http, NEBULA_TOKEN: "wrong" } })).code, 1);
  });
  after(() => server[Symbol.asyncDispose]());

  const run = (args: string, options: RunOptions = {}) =>
    nebulactl(args, { env: { NEBULA_SERVER: server.http, NEBULA_TOKEN: ADMIN.token }, ...options });

  async function printed(args: string): Promise<string> {
    const { code, out, err } = await run(args);
    assert.deepEqual({ code, err }, { code: 0, err: "" }, args);
    return out;
  }

  const listed = async (args: string): Promise<Entry[]> => JSON.parse(await printed(`audit ${args} -o json`));

  it("audit lists changes with their callers, newest first, and refusals", async () => {
    const [header, ...lines] = (await printed("audit")).trimEnd().split("\n");
    assert.match(header ?? "", /^TIME +WHO +FROM +CALL +ABOUT +REVISION +OUTCOME +DETAIL$/);
    const wanted = [
      /^\S+Z +nobody +127\.0\.0\.1 +AppService\/\S+ +app web +UNAUTHENTICATED +the authorization header holds no valid /,
      /^\S+Z +admin +127\.0\.0\.1 +AppService\/StartApp +app nope +NOT_FOUND +there is no app "nope"/,
      /^\S+Z +admin +127\.0\.0\.1 +AppService\/UpdateApp +app web +1->2 +OK +update$/,
      /^\S+Z +admin +127\.0\.0\.1 +AppService\/CreateApp +app web +->1 +OK +create$/,
    ];
    assert.equal(lines.length, wanted.length, lines.join("\n"));
    for (const [i, pattern] of wanted.entries()) assert.match(lines[i] ?? "", pattern);
  });

  it("audit lists the entries of its filters", async () => {
    const about = async (args: string) => (await listed(args)).map(({ who, name, outcome }) => `${who} ${name} ${outcome}`);
    assert.deepEqual(await about("--user nobody"), ["nobody web UNAUTHENTICATED"]);
    assert.deepEqual(await about("--name web --outcome ok"), ["admin web OK", "admin web OK"]);
    assert.deepEqual(await about("--kind app --outcome NOT_FOUND --since 1h"), ["admin nope NOT_FOUND"]);
    assert.deepEqual(await run("audit --kind user"), { code: 0, out: "", err: "no audit entries\n" });
    for (const group of ["user_group", "user-group"]) assert.equal((await run(`audit --kind ${group}`)).err, "no audit entries\n");
    assert.deepEqual((await run("audit --until 1h")).err, "no audit entries\n");
  });

  it("audit resumes where a list ended", async () => {
    const first = await run("audit --limit 3 -o json");
    const [, token = ""] = /^showing \d+; more with --last-id (\S+)\n$/.exec(first.err) ?? [];
    const both: Entry[] = [...JSON.parse(first.out), ...(await listed(`--last-id ${token}`))];
    assert.equal(new Set(both.map(({ request_id }) => request_id)).size, 4);
  });

  it("audit refuses an invalid filter with the reason, and is for admins", async () => {
    assert.equal((await run("audit", { env: { NEBULA_SERVER: server.http, NEBULA_TOKEN: "wrong" } })).code, 1);
  });
});

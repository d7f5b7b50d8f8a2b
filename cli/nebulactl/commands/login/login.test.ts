import { strict as assert } from "node:assert";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nebulactl, type RunOptions } from "../../testing/test-cli.ts";
import { ADMIN, startTestServer, type TestServer } from "../../testing/test-server.ts";

describe("nebulactl's logins", () => {
  let server: TestServer;
  let home: string;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server[Symbol.asyncDispose]());
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), "nebulactl-"));
  });
  afterEach(() => rm(home, { recursive: true }));

  const run = (args: string | readonly string[], options: RunOptions = {}) => nebulactl(args, { home, ...options });
  const pings = async (options: RunOptions = {}) => (await run("ping", options)).code === 0;

  it("logins are stored once the server has accepted them, and used from then on", async () => {
    const login = await run(`login --server ${server.http} --username ${ADMIN.user} --password-stdin`, { stdin: `${ADMIN.password}\n` });
    assert.deepEqual(login, { code: 0, out: `logged in to ${server.http} as admin, profile default\n`, err: "" });
    const ping = await run("ping -o json");
    assert.equal(JSON.parse(ping.out).user, "admin");
    assert.deepEqual((await run("logout")).out, "removed profile default\n");
    assert.equal(await pings(), false);
  });

  it("logins are not stored when the server refuses them or is unreachable, unless a flag asks for that", async () => {
    const wrong = await run(`login --server ${server.http} --username ${ADMIN.user} --password-stdin`, { stdin: "wrong" });
    assert.equal(wrong.code, 1);
    assert.match(wrong.err, /refused user "admin" .*nothing was stored; use --no-check to store it anyway/);
    assert.ok(!wrong.err.includes("wrong\n"));
    const absent = await run("login --server http://127.0.0.1:1 --token-stdin", { stdin: "t" });
    assert.match(absent.err, /nothing answers at http:\/\/127\.0\.0\.1:1 .*nothing was stored/);
    await assert.rejects(readFile(join(home, ".nebulactl.json")));
    assert.equal((await run("login --server http://127.0.0.1:1 --token-stdin --no-check", { stdin: "t" })).code, 0);
    assert.match(await readFile(join(home, ".nebulactl.json"), "utf8"), /127\.0\.0\.1:1/);
  });

  it("logins are asked for on a terminal, which does not show what is typed", async () => {
    const login = await run("login", { answers: [server.http, ADMIN.user, ADMIN.password] });
    assert.deepEqual(login, {
      code: 0,
      out: `logged in to ${server.http} as admin, profile default\n`,
      err: "Server [http://127.0.0.1:8080]: User: Password of admin: ",
    });
    for (const [args, missing] of [
      ["login", /login needs --server URL, or --host/],
      [`login --server ${server.http}`, /login needs --username, and --password-stdin or --password-file; or --token-stdin or --token-file/],
      [`login --server ${server.http} --token-stdin`, /standard input is empty/],
      [`login --server ${server.http} --token-stdin --password-stdin`, /both read standard input/],
      ["login --server http://u:p@x", /carries a login/],
    ] as const) {
      const { code, err } = await run(args);
      assert.equal(code, 1, args);
      assert.match(err, missing);
    }
  });

  it("logins take the original's flags, with a warning for secrets on the command line", async () => {
    const [, host = "", port = ""] = /^http:\/\/(.*):(\d+)$/.exec(server.http) ?? [];
    const login = await run(["login", "-u", ADMIN.user, "-p", ADMIN.password, "-t", "", "-h", host, "-c", port, "-P", "http"]);
    assert.equal(login.code, 0);
    assert.match(login.err, /^warning: --password can be read in the list of processes and the shell's history; --password-stdin can't\n$/);
    assert.ok(await pings());
  });

  it("logins are read from the original's file, unless there is one of our own", async () => {
    const base64 = (text: string) => Buffer.from(text).toString("base64");
    const [, host = "", port = ""] = /^http:\/\/(.*):(\d+)$/.exec(server.http) ?? [];
    const file = { username: ADMIN.user, password: base64(ADMIN.password), token: "", host, port: Number(port), protocol: "http" };
    await writeFile(join(home, ".nebula.json"), JSON.stringify(file));
    assert.ok(await pings());
    await writeFile(join(home, ".nebula.json"), JSON.stringify({ ...file, password: base64("wrong") }));
    assert.match((await run("ping")).err, /refused user "admin" \(from ~\/\.nebula\.json\)/);
    assert.equal((await run("logout")).out, "removed ~/.nebula.json\n");
    assert.match((await run("logout")).err, /no current login to remove/);
  });

  it("logins can be several, one of them current", async () => {
    await run(`login --profile one --server ${server.http} --token-stdin`, { stdin: ADMIN.token });
    await run(`login --profile two --server ${server.grpc} --username ${ADMIN.user} --password-stdin`, { stdin: ADMIN.password });
    const list = await run("profiles");
    assert.match(list.out, /^PROFILE +SERVER +LOGIN +CURRENT\none +http:\S+ +token\ntwo +grpc:\S+ +admin +yes\n$/);
    assert.ok(!list.out.includes(ADMIN.token) && !list.out.includes(ADMIN.password));
    assert.match((await run("ping")).out, /^server +grpc:/);
    assert.match((await run("ping --profile one")).out, /^server +http:/);
    assert.match((await run("ping", { env: { NEBULA_PROFILE: "one" } })).out, /^server +http:/);
    assert.equal((await run("profiles use one")).code, 0);
    assert.match((await run("ping")).out, /^server +http:/);
    assert.match((await run("ping --profile three")).err, /profile "three" not found, known profiles are one, two/);
    await run("logout --all");
    assert.deepEqual((await run("profiles -o json")).out, "[]\n");
    await writeFile(join(home, ".nebulactl.json"), "{ damaged");
    assert.match((await run("logout")).err, /\.nebulactl\.json can't be read/);
    assert.deepEqual(await run("logout --all"), { code: 0, out: "removed every stored login\n", err: "" });
    assert.deepEqual((await run("profiles -o json")).out, "[]\n");
  });

  it("logins may come by file and by environment", async () => {
    const tokenFile = join(home, "token");
    await writeFile(tokenFile, `${ADMIN.token}\n`);
    const env = { NEBULA_SERVER: server.http };
    assert.equal((await run(["ping", "--token-file", tokenFile], { env })).code, 0);
    assert.ok(await pings({ env: { ...env, NEBULA_TOKEN_FILE: tokenFile } }));
    assert.ok(await pings({ env: { ...env, NEBULA_USER: ADMIN.user, NEBULA_PASSWORD: ADMIN.password } }));
    assert.ok(await pings({ env: { ...env, NEBULA_USER: ADMIN.user }, answers: [ADMIN.password] }));
    assert.match(
      (await run("ping", { env: { ...env, NEBULA_USER: ADMIN.user } })).err,
      /the password of user "admin" is missing.*use --password-file or NEBULA_PASSWORD/,
    );
    assert.match((await run("ping --token-file /nonexistent/token", { env })).err, /--token-file \/nonexistent\/token can't be read/);
    assert.match((await run("ping", { env })).err, /requires a login, and none is stored for it; use nebulactl login --server http/);
  });

  it("logins that no header can carry are refused, and not shown", async () => {
    const { code, err } = await run("ping", { env: { NEBULA_SERVER: server.http, NEBULA_TOKEN: "a\nsecret" } });
    assert.equal(code, 1);
    assert.match(
      err,
      /^error: invalid token \(from NEBULA_TOKEN\): it contains characters that a token can't have; use printable ASCII without spaces\n$/,
    );
  });
});

import { strict as assert } from "node:assert";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { asAdmin } from "../testing/as-admin.ts";
import { nebulactl } from "../testing/test-cli.ts";
import { ADMIN, startTestServer, type TestServer } from "../testing/test-server.ts";

type Line = Readonly<{
  typed: readonly string[];
  /** The command that reads afterwards, with `-o json`, and what its output holds. */
  read: string;
  holds: unknown;
}>;

const split = (line: string) => line.split(" ");

/** The original's command lines, and docker's habits, in the order in which they are typed. */
const LINES: readonly Line[] = [
  {
    typed: split("apps create -a web -p 8080:80,443:443 -c server:1 -e REGION:eu,COLOUR:blue -i shop:1 -r -n nebula -v /a:/b -d /dev/null -U -S"),
    read: "apps info -a web",
    holds: { starting_ports: [{ "8080": "80" }, 443], env_vars: { REGION: "eu", COLOUR: "blue" }, networks: ["nebula"], volumes: ["/a:/b"] },
  },
  {
    typed: split("apps update -a web -e REGION=us --env DEBUG=1"),
    read: "apps info web",
    holds: { env_vars: { REGION: "us", COLOUR: "blue", DEBUG: "1" } },
  },
  { typed: split("apps update -a web -e A:b"), read: "apps info web", holds: { env_vars: { A: "b" } } },
  {
    typed: split("apps update web -p 127.0.0.1:8080:80 -p 80 -p 53/udp -v /x:/y:ro -v /z:/z"),
    read: "apps info web",
    holds: { starting_ports: [{ "127.0.0.1:8080": "80" }, 80, "53/udp"], volumes: ["/x:/y:ro", "/z:/z"] },
  },
  { typed: split("apps update web -s -P -R"), read: "apps info web", holds: { running: false, privileged: true, rolling_restart: true } },
  {
    typed: ["cron-jobs", "create", "-c", "clean", "-t", "0 * * * *", "-i", "shop:1", "-e", "A=b"],
    read: "cron-jobs info -c clean",
    holds: { schedule: "0 * * * *", env_vars: { A: "b" } },
  },
  {
    typed: ["cron_jobs", "update", "--cron_job", "clean", "-t", "@daily", "-s"],
    read: "cron-jobs info clean",
    holds: { schedule: "@daily", running: false },
  },
  { typed: split("device-groups create -d pos -a web -c clean"), read: "device-groups info -d pos", holds: { apps: ["web"], cron_jobs: ["clean"] } },
  {
    typed: split("user-groups create -g crew -m ann,bob -a web:rw,db -d pos:ro -P -U"),
    read: "user-groups info --group crew",
    holds: { group_members: ["ann", "bob"], apps: { web: "rw", db: "ro" }, device_groups: { pos: "ro" }, pruning_allowed: true },
  },
  {
    typed: split("user-groups update --group crew --no-pruning -A -d pos"),
    read: "user-groups info crew",
    holds: { apps: { web: "rw", db: "ro" }, device_groups: { pos: "ro" }, admin: true },
  },
];

describe("the original's command lines", () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server[Symbol.asyncDispose]());
  const admin = asAdmin(() => server);

  for (const { typed, read, holds } of LINES) {
    it(`the original's command line does what it did, and what docker's does: nebulactl ${typed.join(" ")}`, async () => {
      const { code, err } = await admin.run(typed);
      assert.equal(code, 0, err);
      assert.partialDeepStrictEqual(JSON.parse(await admin.printed(`${read} -o json`)), holds);
    });
  }

  it("the original's command lines log in with -U, and with a ~/.nebula.json that has a host_uri", async () => {
    const home = await mkdtemp(join(tmpdir(), "nebulactl-"));
    try {
      const login = await nebulactl(["login", "-U", server.http, "-u", ADMIN.user, "-p", ADMIN.password], { home });
      assert.equal(login.code, 0, login.err);
      assert.match(login.out, /^logged in to http:\/\/127\.0\.0\.1:\d+ as admin/);
      await rm(join(home, ".nebulactl.json"));
      const base64 = (text: string) => Buffer.from(text).toString("base64");
      const file = { username: ADMIN.user, password: base64(ADMIN.password), token: "", host_uri: server.http };
      await writeFile(join(home, ".nebula.json"), JSON.stringify(file));
      const list = await nebulactl("apps list -o json", { home });
      assert.equal(list.code, 0, list.err);
      assert.equal(JSON.parse(list.out).length, 1);
    } finally {
      await rm(home, { recursive: true });
    }
  });

  it("the original's command lines refuse a variable without a value, and an invalid port, in one line", async () => {
    await admin.refused(["apps", "update", "web", "-e", "HOME"], /invalid variable "HOME" in --env; use HOME=VALUE/);
    await admin.refused(["apps", "update", "web", "-p", "localhost:80:80"], /invalid port "localhost:80:80" in --starting-ports; use 80,/);
  });

  it("a compose file and a Kubernetes manifest are refused with a line that says what they are", async () => {
    const said = (what: string) => new RegExp(`standard input:1: invalid resource file: it is a ${what}; use kind: app, as in examples/`);
    await admin.refused("apply -f -", said("compose file"), { stdin: "services:\n  web: { image: shop:1 }\n" });
    await admin.refused("apply -f -", said("Kubernetes manifest"), { stdin: "apiVersion: v1\nkind: Pod\nmetadata: { name: web }\n" });
  });
});

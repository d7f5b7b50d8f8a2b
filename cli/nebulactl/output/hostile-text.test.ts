import { strict as assert } from "node:assert";
import { createClient } from "@connectrpc/connect";
import { parse } from "yaml";
import { isUnsafe } from "../../../common/printable.ts";
import { eventually } from "../../../common/testing/eventually.ts";
import { sampleReport } from "../../../common/testing/sample-report.ts";
import { ReportService, TargetState } from "../../../gen/nebula/v1/report_pb.ts";
import { connectTo } from "../connection/transport.ts";
import { readServerUrl } from "../session/server-url.ts";
import { asAdmin } from "../testing/as-admin.ts";
import { ADMIN, startTestServer, type TestServer } from "../testing/test-server.ts";
import { STYLE_CODE } from "./paint.ts";

/** Clears the screen, sets its title, by C1 as well; turns and hides what follows; carries a hidden text. */
const HOSTILE = "a\x1b[2Jb\x9b31mc\x1b]0;title\x07d\u202ee\u2066f\u200bg\u{e0041}\u{e0042}h\u00adi\rj\u2028k";

describe("what others wrote", () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
    const login = { server: readServerUrl(server.http, "test"), serverFrom: "test", credentialsFrom: "test" };
    const reports = createClient(ReportService, await connectTo({ ...login, credentials: { kind: "token", token: ADMIN.token } }));
    const container = { name: HOSTILE, image: HOSTILE, revision: 3n };
    const report = sampleReport({
      deviceId: "evil",
      deviceGroup: "pos",
      workerVersion: HOSTILE,
      state: TargetState.FAILED,
      apps: [{ name: "web", revision: 3n, state: TargetState.FAILED, step: HOSTILE, reason: HOSTILE, notes: [HOSTILE], containers: [container] }],
      cronJobs: [{ name: "clean", reason: HOSTILE, notes: [HOSTILE], state: TargetState.FAILED }],
      host: { hostname: HOSTILE, os: HOSTILE, arch: HOSTILE, engineVersion: HOSTILE },
      problems: [{ code: HOSTILE, message: `${HOSTILE}${"\n".repeat(20_000)}${"x".repeat(20_000)}` }],
    });
    const many = Array.from({ length: 2000 }, (_, index) => ({ code: `c${index}`, message: "x".repeat(20) }));
    const containers = Array.from({ length: 500 }, (_, index) => ({ ...container, name: `web-${index}` }));
    await reports.submitReports({ reports: [report] });
    const long = sampleReport({ deviceId: "long", deviceGroup: "pos", problems: many, apps: [{ name: "web", revision: 3n, containers }] });
    await reports.submitReports({ reports: [long] });
    await eventually(async () => assert.match(await printed("devices list"), /^evil .*\nlong /m));
  });
  after(() => server[Symbol.asyncDispose]());

  const { printed, run } = asAdmin(() => server);

  it("a hostile text takes no effect in any format of any command that shows it, and is shown as an escape", async () => {
    await printed(["apps", "create", "web", "--image", "shop:1", "--env", `TEXT=${HOSTILE}\nsecond line`]);
    const commands = ["devices list", "devices info evil", "reports", "apps list", "apps info web", "get apps web", "get all", "audit"];
    for (const command of commands) {
      for (const format of ["", " -o json", " -o yaml"]) {
        const out = await printed(command + format);
        assert.equal(isUnsafe(out), false, `${command}${format}: ${JSON.stringify(out.slice(0, 200))}`);
        if (!/^(apps list|audit)/.test(command)) assert.match(out, /\\u202e|\\u202E/, `${command}${format} shows it`);
      }
    }
  });

  it("a hostile text is whole in JSON and YAML, one line a value", async () => {
    const message = `${HOSTILE}${"\n".repeat(20_000)}${"x".repeat(20_000)}`;
    for (const [format, read] of [
      ["json", (text: string): unknown => JSON.parse(text)],
      ["yaml", (text: string): unknown => parse(text)],
    ] as const) {
      const out = await printed(`devices info evil -o ${format}`);
      assert.ok(JSON.stringify(read(out)).includes(JSON.stringify(message).slice(1, -1)), format);
      assert.ok(out.split("\n").length < 150, `${format} has ${out.split("\n").length} lines`);
    }
    const app = (text: string): { env_vars: { TEXT: string } } => parse(text);
    const got = app(await printed("get apps web"));
    assert.equal(got.env_vars.TEXT, `${HOSTILE}\nsecond line`);
  });

  it("a hostile text is bounded in tables and in info", async () => {
    const evil = await printed("devices info evil");
    assert.ok(evil.length < 20_000, `${evil.length} characters`);
    const list = await printed("devices list");
    assert.ok(list.length < 10_000, `${list.length} characters`);
    const long = await printed("devices info long");
    assert.match(long, /^ +… more lines; -o json shows all$/m);
    assert.match(long, /^and 400 more; -o json shows all$/m);
    assert.ok(long.split("\n").length < 200, `${long.split("\n").length} lines`);
  });

  it("a hostile text takes no effect in errors, questions, and on a terminal with colours", async () => {
    for (const args of [
      ["apps", "info", HOSTILE],
      ["devices", "info", HOSTILE],
      [HOSTILE],
      ["apps", "list", `--${HOSTILE}`],
      ["apps", "delete", HOSTILE],
    ]) {
      const { code, err } = await run(args, { answers: ["n"], env: {} });
      assert.equal(code, 1);
      assert.equal(isUnsafe(err), false, JSON.stringify(err));
      assert.match(err, /\\u202e/);
    }
    const colored = (await run("devices info evil", { terminal: true })).out;
    assert.ok(colored.includes("\x1b[31mfailed\x1b[39m"));
    assert.equal(isUnsafe(colored.replaceAll(new RegExp(STYLE_CODE, "g"), "")), false);
  });
});

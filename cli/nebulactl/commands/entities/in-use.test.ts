import { strict as assert } from "node:assert";
import { createClient } from "@connectrpc/connect";
import { eventually } from "../../../../common/testing/eventually.ts";
import { sampleReport } from "../../../../common/testing/sample-report.ts";
import { ReportService } from "../../../../gen/nebula/v1/report_pb.ts";
import { connectTo } from "../../connection/transport.ts";
import { readServerUrl } from "../../session/server-url.ts";
import { asAdmin } from "../../testing/as-admin.ts";
import { ADMIN, startTestServer, type TestServer } from "../../testing/test-server.ts";

describe("a delete of something in use", () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
    for (const line of [
      "apps create web --image shop:1",
      "apps create alone --image shop:1",
      "device-groups create pos --apps web --cron_jobs clean",
      "device-groups create till --apps web",
      "users create ann --token-stdin",
      "user-groups create ops --group_members ann",
    ]) {
      if (line.startsWith("device-groups create pos")) await printed(["cron-jobs", "create", "clean", "--image", "c:1", "--schedule", "0 3 * * *"]);
      const { code, err } = await run(line, { stdin: "x".repeat(43) });
      assert.equal(code, 0, err);
    }
    const login = { server: readServerUrl(server.http, "test"), serverFrom: "test", credentialsFrom: "test" };
    const reports = createClient(ReportService, await connectTo({ ...login, credentials: { kind: "token", token: ADMIN.token } }));
    await reports.submitReports({ reports: [sampleReport({ deviceId: "pos-1", deviceGroup: "pos" })] });
    await eventually(async () => assert.match(await printed("devices list -d pos"), /pos-1/));
  });
  after(() => server[Symbol.asyncDispose]());

  const { run, printed, refused } = asAdmin(() => server);

  const cases = [
    ["apps delete web", /app web is in use by 2 device_groups \(pos, till(?:; 1 device)?\); their devices remove the containers of web/],
    ["cron-jobs delete clean", /cron_job clean is in use by 1 device_group \(pos(?:; 1 device)?\); its devices stop running clean/],
    ["device-groups delete pos", /device_group pos is in use by 1 device \(pos-1\); it keeps its containers and gets no config/],
    ["users delete ann", /user ann is in use by 1 user_group \(ops\); the user loses what it grants/],
    ["user-groups delete ops", /user_group ops is in use by 1 member \(ann\); the member loses what it grants/],
  ] as const;

  it("a delete of an entity in use lists its users before it asks, and keeps it without a yes", async () => {
    for (const [line, use] of cases) {
      const { code, out, err } = await run(line, { answers: ["n"] });
      assert.deepEqual([code, out], [1, ""], line);
      assert.match(err, new RegExp(`^${use.source}.*\\. Delete .* ${line.split(" ").at(-1)}\\? \\[y/N\\] error: .* was not deleted\n$`));
    }
  });

  it("a delete needs --yes without a terminal, and nothing is deleted without it", async () => {
    for (const [line, use] of cases) await refused(line, new RegExp(`${use.source}.*; use --yes to delete it anyway`));
    assert.equal(await printed("apps delete alone"), "app alone deleted, revision 2\n", "what nobody uses is deleted without a question");
    const answers = await Promise.all(cases.map(([line]) => run(line.replace("delete", "info"))));
    assert.deepEqual(
      answers.map(({ code }) => code),
      [0, 0, 0, 0, 0],
    );
    for (const [line] of [...cases].reverse()) assert.equal((await run(`${line} --yes`)).code, 0, line);
  });

  it("a list of a group that does not exist names the group rather than be empty", async () => {
    for (const line of ["devices list", "reports", "devices tokens", "devices enrolments"]) {
      for (const format of ["", " -o json"]) await refused(`${line} -d nope${format}`, /device_group "?nope"?/);
    }
    assert.deepEqual(await run("devices list -d till"), { code: 0, out: "", err: "no devices\n" });
  });
});

import { strict as assert } from "node:assert";
import { randomBytes } from "node:crypto";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { eventually } from "../../common/testing/eventually.ts";
import { sampleReport } from "../../common/testing/sample-report.ts";
import { AccessService } from "../../gen/nebula/v1/access_pb.ts";
import { AuditService } from "../../gen/nebula/v1/audit_pb.ts";
import { ExplainService } from "../../gen/nebula/v1/explain_pb.ts";
import { ContainerState, FailureCode, ReportService, StepKind, TargetState } from "../../gen/nebula/v1/report_pb.ts";
import { createTillAndKiosk, DashboardRig } from "./dashboard-rig.ts";

const MARKUP = '<img src=x onerror="document.title=1"><script>document.title=2</script>';
const REVERSED = "\u202egnp.exe";

describe("the page of a device in a browser", function () {
  this.timeout(60_000);
  const rig = DashboardRig.describe(async ({ api }) => {
    await api.createApp({ name: "web", dockerImage: "busybox:1", startingPorts: [] });
    await createTillAndKiosk(api);
    await api.createGroup("pos", ["web"]);
    await api.createGroup("kiosks", ["till", "kiosk"]);
  });
  before(async function () {
    this.timeout(60_000);
    await rig.devices("pos", 1);
    await rig.devices("kiosks", 1);
    await rig.api.appStatus("pos-1", "web", ({ state }) => state === TargetState.APPLIED);
    await rig.api.appStatus("kiosks-1", "kiosk", ({ state }) => state === TargetState.FAILED);
  });

  const report = async (deviceId: string, fields: Parameters<typeof sampleReport>[0]) => {
    const { channel, headers } = rig.api;
    const made = sampleReport({ deviceId, deviceGroup: "pos", receivedMs: Date.now(), ...fields });
    await channel.unary(ReportService.method.submitReports, { reports: [made] }, { headers, timeoutMs: 10_000 });
    await rig.api.reported(deviceId);
  };

  it("a device that is as wanted has every link of its chain done, and the containers, host and reports of the API", async () => {
    const device = await rig.api.reported("pos-1");
    const [container] = device.report?.apps[0]?.containers ?? [];
    assert.ok(container !== undefined);
    const tab = await rig.open("/ui/devices");
    await tab.login();
    await tab.page.getByRole("link", { name: "pos-1" }).click();
    await tab.page.getByRole("heading", { name: "pos-1" }).waitFor();
    assert.match(tab.page.url(), /\/ui\/devices\/pos-1$/);
    const links = tab.page.locator(".link");
    await eventually(async () => assert.equal(await tab.page.locator(".link-done").count(), 5));
    const applied = await links.nth(3).innerText();
    assert.match(applied, /web @1/);
    assert.match(await links.nth(4).innerText(), new RegExp(`${container.name} @1 running`));
    await tab.page.getByRole("cell", { name: container.name, exact: true }).waitFor();
    await tab.page
      .getByText(device.report?.host?.hostname ?? "no host")
      .first()
      .waitFor();
    const { reports } = await rig.api.channel.unary(ReportService.method.listReports, { deviceId: "pos-1" }, { headers: rig.api.headers });
    await tab.page.getByText(`${reports.length} ${reports.length === 1 ? "report" : "reports"}`, { exact: true }).waitFor();
    tab.assertNoFaults();
  });

  it("a device that failed says where its change is stuck, with the words and the advice of the server", async () => {
    const tab = await rig.open("/ui/devices/kiosks-1");
    await tab.login();
    const stuck = tab.page.locator(".link-stuck");
    await stuck.waitFor();
    const { explanation } = await rig.api.channel.unary(ExplainService.method.explain, { deviceId: "kiosks-1" }, { headers: rig.api.headers });
    const target = explanation?.targets.find(({ failureCode }) => failureCode === FailureCode.CLAIM_LOST);
    assert.ok(target !== undefined && target.advice.length > 0);
    const text = await stuck.innerText();
    assert.match(text, /applied\s+stuck here/);
    assert.match(text, /kiosk: no revision yet.* - stuck here for \d+ (s|min) \(claim_lost\)/);
    assert.ok(text.includes(target.reason), text);
    const advice = await tab.page.getByRole("list", { name: "What to do" }).innerText();
    for (const { text, command } of target.advice) assert.ok(advice.includes(text) && advice.includes(command), advice);
    tab.assertNoFaults();
  });

  it("markup and marks of direction in what a device reports are shown as text, and break nothing", async () => {
    await report("hostile", {
      workerVersion: `1 ${REVERSED}`,
      state: TargetState.FAILED,
      problems: [{ code: "bad", message: MARKUP }],
      host: { hostname: REVERSED, os: MARKUP, cpuCores: 1, memoryTotalBytes: 1n, diskTotalBytes: 1n },
      apps: [
        {
          name: "web",
          revision: 1n,
          state: TargetState.FAILED,
          reason: `${MARKUP} ${"long".repeat(200)} ${REVERSED}`,
          failureCode: FailureCode.EXITS,
          stepKind: StepKind.START,
          containers: [{ name: MARKUP, image: REVERSED, state: ContainerState.EXITED, exitCode: 1, startedAt: timestampFromMs(0) }],
        },
      ],
    });
    for (const width of [360, 1440]) {
      const tab = await rig.open("/ui/devices/hostile", { viewport: { width, height: 900 } });
      await tab.login();
      await tab.page.locator(".link-stuck").waitFor();
      await tab.page.getByText("1 report", { exact: true }).waitFor();
      const shown = await tab.page.locator("main").innerText();
      assert.ok(shown.includes("<img src=x onerror="), "markup is text");
      assert.ok(shown.includes("\\u202egnp.exe"), "a mark of direction is written out");
      assert.ok(!shown.includes("\u202e"));
      assert.equal(await tab.page.locator("main img, main script").count(), 0);
      assert.equal(await tab.page.title(), "hostile · Nebula");
      assert.equal(await tab.page.evaluate("document.documentElement.scrollWidth"), width);
      tab.assertNoFaults();
    }
  });

  it("a device is forgotten after a confirmation, which shows the line of nebulactl that does the same", async () => {
    await report("old-till", {});
    const tab = await rig.open("/ui/devices/old-till");
    await tab.login();
    const ask = tab.page.getByRole("button", { name: "Forget this device" });
    await ask.click();
    const dialog = tab.page.getByRole("dialog", { name: "Forget old-till" });
    assert.equal(await dialog.locator(".command-text").innerText(), "nebulactl devices delete old-till");
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await dialog.waitFor({ state: "detached" });
    assert.ok((await rig.api.known("old-till")) !== undefined, "a cancel changes nothing");
    await ask.click();
    await dialog.getByRole("button", { name: "Forget", exact: true }).click();
    await tab.page.getByRole("heading", { name: "Devices", exact: true }).waitFor();
    await eventually(async () => assert.equal(await rig.api.known("old-till"), undefined));
    tab.assertNoFaults();
  });

  it("a forget whose answer is lost says that it is not certain whether it was done", async () => {
    await report("lost-till", {});
    const tab = await rig.open("/ui/devices/lost-till");
    await tab.login();
    await tab.page.route(/\/DeleteDevice$/, (route) => route.abort());
    await tab.page.getByRole("button", { name: "Forget this device" }).click();
    const dialog = tab.page.getByRole("dialog", { name: "Forget lost-till" });
    await dialog.getByRole("button", { name: "Forget", exact: true }).click();
    await dialog.getByRole("alert").getByText("Whether it was done is not certain").waitFor();
    assert.equal(await dialog.getByText("tried again").count(), 0, "a write is not repeated by itself");
  });

  it("the heading of a device keeps the focus when its data arrive", async () => {
    const tab = await rig.open("/ui/devices");
    await tab.login();
    const held = Promise.withResolvers<void>();
    await tab.page.route(/\/GetDevice$/, async (route) => {
      await held.promise;
      await route.continue();
    });
    await tab.page.getByRole("link", { name: "pos-1" }).click();
    const focused = () => tab.page.evaluate("`${document.activeElement.tagName} ${document.activeElement.textContent}`");
    await eventually(async () => assert.equal(await focused(), "H1 pos-1"));
    held.resolve();
    await tab.page.getByRole("heading", { name: "Host and worker" }).waitFor();
    assert.equal(await focused(), "H1 pos-1");
    tab.assertNoFaults();
  });

  it("a user who may only read a device_group is not offered to forget its devices", async () => {
    await rig.api.createUser("reader", "a long password", { deviceGroups: { pos: "ro" }, apps: { web: "ro" } });
    const tab = await rig.open("/ui/devices/pos-1");
    await tab.login("reader", "a long password");
    await tab.page.getByRole("heading", { name: "Host and worker" }).waitFor();
    await tab.page.locator(".link-done").first().waitFor();
    assert.equal(await tab.page.getByRole("button", { name: "Forget this device" }).count(), 0);
    assert.equal(await tab.page.getByRole("alert").count(), 0);
  });

  it("looking at a device changes nothing, and writes nothing to the audit log", async () => {
    const tab = await rig.open("/ui/devices/pos-1");
    const called: string[] = [];
    tab.page.on("request", (request) => called.push(new URL(request.url()).pathname.split("/").at(-1) ?? ""));
    await tab.login();
    await tab.page.getByRole("button", { name: "Forget this device" }).waitFor();
    const { auditEntries } = await rig.api.channel.unary(AuditService.method.listAuditEntries, {}, { headers: rig.api.headers });
    assert.ok(auditEntries.length > 0);
    assert.deepEqual(
      auditEntries.filter(({ method }) => method.endsWith("/DeleteDevices")),
      [],
    );
    assert.ok(called.includes("GetDevice") && called.every((method) => !method.startsWith("Delete")), called.join());
  });

  it("a device that enrolled and never came has an explanation, and its token", async () => {
    const { channel, headers } = rig.api;
    const { token } = await channel.unary(AccessService.method.createEnrolmentToken, { deviceGroup: "pos" }, { headers });
    const enrol = { headers: { authorization: `Bearer ${token}` } };
    await channel.unary(AccessService.method.enrollDevice, { deviceId: "boxed", tokenHash: randomBytes(32) }, enrol);
    const tab = await rig.open("/ui/devices/boxed");
    await tab.login();
    const stuck = tab.page.locator(".link-stuck");
    await stuck.waitFor();
    assert.match(await stuck.innerText(), /connected\s+stuck here\s+never: it has a token/);
    await tab.page.getByText(/It enrolled \d+ s ago/).waitFor();
    assert.equal(await tab.page.getByRole("alert").count(), 0);
  });

  it("a list shows what a device reports as text", async () => {
    await report("hostile-in-list", { workerVersion: `1 ${REVERSED}`, state: TargetState.FAILED, problems: [{ code: `${MARKUP} ${REVERSED}` }] });
    const tab = await rig.open("/ui/devices?group=pos&failing=yes");
    await tab.login();
    const row = tab.page.getByRole("row").filter({ has: tab.page.getByRole("link", { name: "hostile-in-list" }) });
    await row.waitFor();
    const text = await row.innerText();
    assert.ok(text.includes("<img src=x") && text.includes("1 \\u202egnp.exe") && !text.includes("\u202e"), text);
    assert.equal(await tab.page.locator("main img, main script").count(), 0);
    tab.assertNoFaults();
  });

  it("a device that has no watch open is offline, at its head and in its chain", async () => {
    await report("unplugged", {});
    const tab = await rig.open("/ui/devices/unplugged");
    await tab.login();
    await tab.page.locator(".device-head").getByText("offline").waitFor();
    const connected = tab.page.locator(".link").filter({ hasText: "connected" });
    assert.match(await connected.innerText(), /connected\s+(offline|stuck here)\s+offline/);
    tab.assertNoFaults();
  });

  it("while the server is unreachable the page of a device keeps what it shows, and recovers by itself", async () => {
    const tab = await rig.open("/ui/devices/pos-1");
    await tab.login();
    await tab.page.locator(".link-done").first().waitFor();
    await rig.server.stop();
    await tab.page.getByRole("alert").getByText("The server does not answer").waitFor();
    await tab.page
      .getByText(/The server does not answer\. As of \d+ s ago/)
      .first()
      .waitFor();
    assert.ok(await tab.page.locator(".link-done").first().isVisible());
    const spoken = await tab.page.locator(".notice-warning [role=status]").first().innerText();
    assert.equal(spoken, "The server does not answer.", "a screen reader would speak an age each second");
    await rig.server.startAgain();
    await tab.page.getByRole("alert").waitFor({ state: "detached" });
    await eventually(async () => assert.equal(await tab.page.getByText(/The server does not answer/).count(), 0), { timeoutMs: 20_000 });
    assert.deepEqual(
      tab.faults.filter((fault) => fault.startsWith("script")),
      [],
    );
  });

  it("a device that does not exist is said to be unknown, with a way to the list", async () => {
    const tab = await rig.open("/ui/devices/nobody");
    await tab.login();
    await tab.page.getByRole("alert").getByText("There is nothing here").first().waitFor();
    await tab.page.getByRole("link", { name: "Show all devices" }).click();
    await tab.page.getByRole("link", { name: "pos-1" }).waitFor();
  });

  it("an address with marks of direction names a device and a change by text, in title and heading", async () => {
    const tab = await rig.open(`/ui/devices/${encodeURIComponent(REVERSED)}`);
    await tab.login();
    await tab.page.getByRole("heading", { name: "\\u202egnp.exe", exact: true }).waitFor();
    assert.equal(await tab.page.title(), "\\u202egnp.exe · Nebula");
    await tab.page.goto(`${rig.server.url}/ui/changes/app/${encodeURIComponent(REVERSED)}/1`);
    await tab.page.getByRole("heading", { name: "app \\u202egnp.exe @1", exact: true }).waitFor();
    assert.equal(await tab.page.title(), "app \\u202egnp.exe @1 · Nebula");
    assert.ok(!(await tab.page.locator("main").innerText()).includes("\u202e"));
  });
});

import { strict as assert } from "node:assert";
import { eventually } from "../../common/testing/eventually.ts";
import { sampleReport } from "../../common/testing/sample-report.ts";
import { type ApplyCounts, ApplyService, ApplyVerb, ApplyVerdict } from "../../gen/nebula/v1/apply_pb.ts";
import { TargetKind } from "../../gen/nebula/v1/device_pb.ts";
import { FailureCode, ReportService, TargetState } from "../../gen/nebula/v1/report_pb.ts";
import { createTillAndKiosk, DashboardRig } from "./dashboard-rig.ts";

const DEVICES = 6;

describe("the page of a change in a browser", function () {
  this.timeout(60_000);
  const rig = DashboardRig.describe(async ({ api }) => {
    await api.createApp({ name: "web", dockerImage: "busybox:1" });
    await createTillAndKiosk(api);
    await api.createGroup("pos", ["web"]);
    await api.createGroup("kiosks", ["till", "kiosk"]);
  });
  before(async function () {
    this.timeout(60_000);
    await rig.devices("pos", DEVICES);
    await rig.devices("kiosks", 2);
    for (let number = 1; number <= DEVICES; number++) await rig.api.appStatus(`pos-${number}`, "web", ({ state }) => state === TargetState.APPLIED);
    for (const id of ["kiosks-1", "kiosks-2"]) await rig.api.appStatus(id, "kiosk", ({ state }) => state === TargetState.FAILED);
  });

  /** The numbers of the API now, as of a wait that ends at once. */
  async function countsOf(name: string, revision: bigint): Promise<ApplyCounts> {
    const targets = [{ kind: TargetKind.APP, name, revision, verb: ApplyVerb.UPDATE }];
    const messages = rig.api.channel.serverStream(
      ApplyService.method.watchApply,
      { targets, settleMs: 0, timeoutMs: 0 },
      { headers: rig.api.headers },
    );
    for await (const { counts, verdict } of messages) if (verdict !== ApplyVerdict.UNSPECIFIED && counts !== undefined) return counts;
    return assert.fail("the stream ended without a verdict");
  }

  it("a change is followed to its end, by the numbers of the API, with the curve of devices that applied it", async () => {
    const tab = await rig.open();
    await tab.login();
    const { revision } = await rig.api.updateApp("web", { dockerImage: "busybox:2" });
    await tab.page.getByRole("link", { name: "app web" }).first().click();
    await tab.page.getByRole("heading", { name: `app web @${revision}` }).waitFor();
    assert.match(tab.page.url(), new RegExp(`/ui/changes/app/web/${revision}$`));
    await tab.page.getByText("Every online device has it").waitFor();
    const counts = await countsOf("web", revision);
    assert.equal(counts.applied, BigInt(DEVICES));
    const shown = async (state: string) => BigInt(await tab.page.locator(`[data-count="${state}"]`).innerText());
    await eventually(async () => {
      for (const state of ["applied", "working", "waiting", "failed", "offline"] as const) assert.equal(await shown(state), counts[state], state);
    });
    await tab.page.getByText(`${DEVICES} of ${DEVICES} online devices run revision ${revision} or newer`).waitFor();
    await tab.page.getByRole("img", { name: new RegExp(`to ${DEVICES} of ${DEVICES} devices`) }).waitFor();
    await tab.page.getByText("busybox:2").first().waitFor();
    tab.assertNoFaults();
  });

  it("a change that a newer one superseded says so, and leads to it", async () => {
    const { revision } = await rig.api.updateApp("web", { dockerImage: "busybox:1" });
    const tab = await rig.open(`/ui/changes/app/web/${revision}`);
    await tab.login();
    await tab.page.getByText("Every online device has it").waitFor();
    assert.equal(await tab.page.getByText("Superseded").count(), 0);
    const newer = await rig.api.updateApp("web", { dockerImage: "busybox:2" });
    await tab.page.getByRole("link", { name: `app web was changed again by admin: revision ${newer.revision}` }).click();
    await tab.page.getByRole("heading", { name: `app web @${newer.revision}` }).waitFor();
    await tab.page.getByText("Every online device has it").waitFor();
    assert.equal(await tab.page.getByText("Superseded").count(), 0);
    tab.assertNoFaults();
  });

  it("failures are listed by code, with the devices behind each and the way to them, and each number leads to a list of as many devices", async () => {
    const counts = await countsOf("kiosk", 1n);
    assert.equal(counts.failed, 2n);
    const tab = await rig.open("/ui/changes/app/kiosk/1");
    await tab.login();
    await tab.page.getByText("Some devices failed").waitFor();
    assert.match(await tab.page.locator("summary").filter({ hasText: "claim_lost" }).innerText(), /^claim_lost\s+2$/);
    const addresses = await tab.page.evaluate("[...document.querySelectorAll('main a[href^=\"/ui/devices?\"]')].map(({ search }) => search)");
    const of = "?target=app%2Fkiosk%401";
    assert.deepEqual(addresses, [of, `${of}&standing=failed`, `${of}&standing=failed&code=claim_lost`]);
    await tab.page.getByRole("link", { name: "List of all that failed with claim_lost" }).click();
    await tab.page.getByText("2 devices", { exact: true }).waitFor();
    await tab.page.goBack();
    await tab.page.getByRole("link", { name: "kiosks-2", exact: true }).waitFor();
    await tab.page.getByRole("link", { name: "kiosks-1", exact: true }).click();
    await tab.page.getByRole("heading", { name: "kiosks-1" }).waitFor();
    tab.assertNoFaults();
  });

  it("a revision that never was is refused by the server, and an address that names no change by the page", async () => {
    const tab = await rig.open("/ui/changes/app/web/999");
    await tab.login();
    await tab.page.getByRole("alert").getByText("There is nothing here").waitFor();
    await tab.page.goto(`${rig.server.url}/ui/changes/user/ann/1`);
    await tab.page.getByRole("heading", { name: "This address names no change" }).waitFor();
  });

  it("the reason of a failure is shown as text, with markup and marks of direction in it", async () => {
    const reason = '<img src=x onerror="document.title=1"> \u202egnp.exe';
    const app = { name: "kiosk", revision: 1n, state: TargetState.FAILED, failureCode: FailureCode.EXITS, reason };
    const report = sampleReport({ deviceId: "hostile", deviceGroup: "kiosks", receivedMs: Date.now(), state: TargetState.FAILED, apps: [app] });
    await rig.api.channel.unary(ReportService.method.submitReports, { reports: [report] }, { headers: rig.api.headers });
    await rig.api.reported("hostile");
    const tab = await rig.open("/ui/changes/app/kiosk/1");
    await tab.login();
    await tab.page.getByText("exits", { exact: true }).click();
    await tab.page.getByRole("link", { name: "hostile" }).waitFor();
    const shown = await tab.page.locator("main").innerText();
    assert.ok(shown.includes('<img src=x onerror="document.title=1"> \\u202egnp.exe'), shown);
    assert.equal(await tab.page.locator("main img").count(), 0);
    assert.equal(await tab.page.title(), "app kiosk @1 · Nebula");
    tab.assertNoFaults();
  });

  for (const colorScheme of ["light", "dark"] as const) {
    for (const width of [360, 1440]) {
      it(`no page of a change or device is wider than a window of ${width} px, in ${colorScheme} colours`, async () => {
        const tab = await rig.open("/ui/changes/app/kiosk/1", { colorScheme, viewport: { width, height: 900 } });
        await tab.login();
        for (const [path, text] of [
          ["/ui/changes/app/kiosk/1", "Some devices failed"],
          ["/ui/devices/kiosks-1", "Host and worker"],
        ] as const) {
          await tab.page.goto(`${rig.server.url}${path}`);
          await tab.page.getByText(text).waitFor();
          await tab.page.locator(".loading").first().waitFor({ state: "detached" });
          assert.equal(await tab.page.evaluate("document.documentElement.scrollWidth"), width, path);
        }
        tab.assertNoFaults();
      });
    }
  }

  it("while the server is unreachable the page of a change keeps its numbers, says their age, and recovers by itself", async () => {
    const tab = await rig.open("/ui/changes/app/web/1");
    await tab.login();
    await tab.page.getByText("Every online device has it").waitFor();
    await rig.server.stop();
    await tab.page
      .getByText(/The server does not answer\. As of \d+ s ago/)
      .first()
      .waitFor();
    assert.equal(await tab.page.locator('[data-count="applied"]').innerText(), String(DEVICES));
    await rig.server.startAgain();
    await tab.page
      .getByText(/The server does not answer/)
      .first()
      .waitFor({ state: "detached" });
    await eventually(async () => assert.equal(await tab.page.getByText(/The server does not answer/).count(), 0), { timeoutMs: 20_000 });
    assert.deepEqual(
      tab.faults.filter((fault) => fault.startsWith("script")),
      [],
    );
  });
});

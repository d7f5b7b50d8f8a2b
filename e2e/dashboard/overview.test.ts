import { strict as assert } from "node:assert";
import { eventually } from "../../common/testing/eventually.ts";
import { sampleReport } from "../../common/testing/sample-report.ts";
import { FleetService } from "../../gen/nebula/v1/fleet_pb.ts";
import { FailureCode, ReportService, TargetState } from "../../gen/nebula/v1/report_pb.ts";
import { createTillAndKiosk, DashboardRig } from "./dashboard-rig.ts";

const DEVICES = 12;

describe("the overview of the dashboard in a browser", function () {
  this.timeout(60_000);
  const rig = DashboardRig.describe(async ({ api }) => {
    await api.createApp({ name: "web", dockerImage: "busybox:1" });
    await createTillAndKiosk(api);
    await api.createGroup("pos", ["web"]);
    await api.createGroup("kiosks", ["till", "kiosk"]);
  });

  const overview = async () => {
    const { channel, headers } = rig.api;
    return await channel.unary(FleetService.method.getOverview, {}, { headers, timeoutMs: 10_000 });
  };

  it("the overview shows the numbers of the API, and follows them", async () => {
    await rig.devices("pos", DEVICES);
    await rig.devices("kiosks", 3);
    await eventually(
      async () => {
        const { states } = (await overview()).fleet ?? {};
        assert.deepEqual([states?.applied, states?.failed], [BigInt(DEVICES), 3n]);
      },
      { timeoutMs: 40_000, everyMs: 100 },
    );
    const tab = await rig.open();
    await tab.login();
    const { fleet, groups } = await overview();
    assert.equal(groups.length, 2);
    await eventually(async () => {
      assert.equal(await tab.number(/^[\d,]+ devices$/), DEVICES + 3);
      assert.equal(await tab.number(/^[\d,]+ applied$/), Number(fleet?.states?.applied));
      assert.equal(await tab.number(/^[\d,]+ failed$/), 3);
      assert.equal(await tab.number(/devices of pos$/), DEVICES);
    });
    await rig.api.updateApp("web", { dockerImage: "busybox:2" });
    await tab.page.getByText("revision 2").waitFor();
    const row = tab.page.getByRole("table", { name: "Device groups" }).locator("tbody tr").filter({ hasText: /^pos/ });
    await eventually(async () => assert.match(await row.innerText(), /app web by admin \d+ s ago/));
    await row.getByRole("link", { name: "app web" }).click();
    await tab.page.waitForURL("**/ui/changes/app/web/2");
    tab.assertNoFaults();
  });

  it("each number that is a link is the number of the devices that its list has", async () => {
    const report = async (fields: Parameters<typeof sampleReport>[0]) => {
      const { channel, headers } = rig.api;
      const reports = [sampleReport({ receivedMs: Date.now(), apps: [], ...fields })];
      await channel.unary(ReportService.method.submitReports, { reports }, { headers, timeoutMs: 10_000 });
    };
    const failed = (name: string, failureCode: FailureCode) => ({ name, revision: 1n, state: TargetState.FAILED, failureCode });
    await report({ deviceId: "off", deviceGroup: "pos", groupRevision: 0n });
    await report({
      deviceId: "fails-twice",
      deviceGroup: "kiosks",
      state: TargetState.FAILED,
      apps: [failed("till", FailureCode.EXITS), failed("kiosk", FailureCode.CLAIM_LOST)],
    });
    const left = { deviceGroup: "left", state: TargetState.FAILED, problems: [{ code: "engine_unreachable" }] };
    await report({ ...left, deviceId: "of-no-group", apps: [failed("web", FailureCode.NO_SPACE)], workerVersion: "9 \u202e" });
    await eventually(
      async () => {
        const { states, problems } = (await overview()).fleet ?? {};
        const numbers = [states?.applied, states?.failed, states?.offline, states?.working, states?.waiting];
        assert.deepEqual([...numbers, problems?.length], [BigInt(DEVICES) + 1n, 4n, 1n, 0n, 0n, 1]);
      },
      { timeoutMs: 40_000, everyMs: 100 },
    );
    const tab = await rig.open();
    await tab.login();
    await eventually(async () => assert.equal(await tab.number(/^[\d,]+ devices$/), DEVICES + 6));
    const links = await tab.page.locator('main a[href^="/ui/devices"]').all();
    const counted = new Map<string, string>();
    for (const link of links) counted.set((await link.getAttribute("href")) ?? "", await link.innerText());
    for (const query of ["standing=failed", "standing=failed&code=claim_lost", "group=left&standing=applied", "problem=engine_unreachable"])
      assert.ok(counted.has(`/ui/devices?${query}`), `${query} is not among ${[...counted.keys()].join()}`);
    for (const [address, number] of counted) {
      await tab.page.goto(`${rig.server.url}${address}`);
      const text = tab.page.getByText(/^\d+ devices?( so far)?$/);
      await text.waitFor();
      assert.equal(await text.innerText(), `${number} ${number === "1" ? "device" : "devices"}`, address);
    }
    tab.assertNoFaults();
  });
});

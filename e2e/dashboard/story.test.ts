import { strict as assert } from "node:assert";
import type { Page } from "playwright-core";
import { systemClock } from "../../common/clock/system-clock.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { normaliseImageReference } from "../../common/validation/container/image-reference.ts";
import { type ApplyCounts, ApplyService, ApplyVerb, ApplyVerdict } from "../../gen/nebula/v1/apply_pb.ts";
import { TargetKind } from "../../gen/nebula/v1/device_pb.ts";
import { ExplainService } from "../../gen/nebula/v1/explain_pb.ts";
import { FleetService } from "../../gen/nebula/v1/fleet_pb.ts";
import { TargetState } from "../../gen/nebula/v1/report_pb.ts";
import { SimulatedRuntime } from "../../worker/runtime/simulated/simulated.ts";
import { startSimulated } from "../harness/in-process-worker.ts";
import { SimulatedWorker } from "../harness/simulated-worker.ts";
import { DashboardRig } from "./dashboard-rig.ts";
import { Keyboard } from "./keyboard.ts";

/** An image that does not exist. */
const MISSING = "shop/web:9.9";
const REFUSAL = `manifest for ${MISSING} not found: manifest unknown`;
/** Devices whose engine knows that; one more enrols, with an engine that has every image. */
const DEVICES = 3;

describe("the story of the dashboard, by the keyboard alone", function () {
  this.timeout(120_000);
  const rig = DashboardRig.describe();
  const call = () => ({ headers: rig.api.headers, timeoutMs: 10_000 });

  /** Starts the devices of the group, one of them with the enrolment token that the page shows. */
  async function startDevices(enrollToken: string): Promise<void> {
    for (let number = 1; number <= DEVICES; number++) {
      const engine = new SimulatedRuntime({
        clock: systemClock,
        behaviour: (image) => (image === normaliseImageReference(MISSING) ? { pull: { kind: "fails", message: REFUSAL } } : {}),
      });
      rig.use(await startSimulated({ server: rig.server, deviceGroup: "pos", deviceId: `till-${number}` }, engine));
    }
    rig.use(new SimulatedWorker({ server: rig.server.grpcUrl, deviceId: "till-enrolled", enrollToken }));
    for (const id of ["till-1", "till-2", "till-3", "till-enrolled"])
      await rig.api.appStatus(id, "web", ({ state }) => state === TargetState.APPLIED);
  }

  /** The numbers of the API of a change, as of a wait that ends at once. */
  async function countsOf(revision: bigint): Promise<ApplyCounts> {
    const request = { targets: [{ kind: TargetKind.APP, name: "web", revision, verb: ApplyVerb.UPDATE }], settleMs: 0, timeoutMs: 0 };
    for await (const { counts, verdict } of rig.api.channel.serverStream(ApplyService.method.watchApply, request, { headers: rig.api.headers }))
      if (verdict !== ApplyVerdict.UNSPECIFIED && counts !== undefined) return counts;
    return assert.fail("the stream ended without a verdict");
  }

  /** Waits until the page of a change says this of it, and asserts that each of its numbers is that of the API. */
  async function assertChange(page: Page, revision: bigint, verdict: string): Promise<ApplyCounts> {
    await page.getByRole("heading", { name: `app web @${revision}` }).waitFor();
    await page.getByText(verdict).waitFor();
    const counts = await countsOf(revision);
    await eventually(async () => {
      for (const state of ["applied", "working", "waiting", "failed", "offline"] as const)
        assert.equal(BigInt(await page.locator(`[data-count="${state}"]`).innerText()), counts[state], state);
      assert.match(await page.locator(".applied-line").innerText(), new RegExp(`^${counts.applied} of ${counts.devices} applied`));
    });
    return counts;
  }

  /** Asserts that each number of a legend, by its word, is that of the API for the fleet. */
  async function assertLegend(page: Page): Promise<void> {
    await eventually(async () => {
      const { fleet } = await rig.api.channel.unary(FleetService.method.getOverview, {}, call());
      const states = fleet?.states ?? assert.fail("the fleet was not counted");
      const { applied, working, waiting, failed, offline, neverCame } = states;
      const expected = Object.entries({ applied, working, waiting, failed, offline, "never came": neverCame });
      const [words, counts] = [page.locator(".legend-word"), page.locator(".legend-count")];
      const texts = await counts.allInnerTexts();
      const shown = (await words.allInnerTexts()).map((word, index) => [word, texts[index]]);
      const known = expected.filter(([word]) => shown.some(([other]) => other === word));
      assert.ok(shown.length >= 5, String(shown.length));
      assert.deepEqual(
        shown,
        known.map(([word, count]) => [word, String(count)]),
      );
    });
  }

  /** Asserts the same of all numbers of the overview: those of the fleet, of its group and of its failures. */
  async function assertOverview(page: Page): Promise<void> {
    await assertLegend(page);
    await eventually(async () => {
      const { fleet, groups } = await rig.api.channel.unary(FleetService.method.getOverview, {}, call());
      const { applied, working, waiting, failed, offline, online } = fleet?.states ?? assert.fail("the fleet was not counted");
      const devices = applied + working + waiting + failed + offline;
      const of = (numbers: readonly bigint[]) => numbers.map(String);
      const shown = (selector: string) => page.locator(`${selector} .number`).allInnerTexts();
      assert.deepEqual(await shown(".fleet-line"), of([devices, online]));
      assert.deepEqual(await shown("[aria-labelledby=failures]"), of(fleet?.failureCodes.map(({ devices }) => devices) ?? []));
      assert.equal(groups.length, 1);
      const row = await shown("[aria-label='Device groups'] tbody tr");
      assert.deepEqual(row.slice(0, 5), of([devices, applied, working, failed, offline]));
    });
  }

  it("an app and its group are created on the empty page, land on devices, a broken change says why, and is rolled back", async () => {
    const tab = await rig.open();
    const { page } = tab;
    const keyboard = new Keyboard(page);

    // the login: its first field has the focus
    await page.getByRole("button", { name: "Log in" }).waitFor();
    assert.ok(await keyboard.isAt(page.getByLabel("User")));
    await keyboard.type("admin");
    await keyboard.press("Tab");
    await keyboard.type(rig.server.password);
    await keyboard.press("Enter");
    await page.getByRole("heading", { name: "There is nothing here yet" }).waitFor();

    // an app, of a plan
    await keyboard.activate("link", "Create an app");
    await keyboard.fill("Name", "web");
    await keyboard.fill("Image", "busybox:1");
    await keyboard.activate("button", "Plan");
    await page.locator(".plan").getByText("created").waitFor();
    await keyboard.activate("button", "Apply");
    await page.getByText("web is created, at revision 1").waitFor();

    // its group: the dialog has the focus, keeps it, and returns it
    await keyboard.activate("link", "Overview");
    const opener = page.getByRole("button", { name: "Create a device group" });
    await keyboard.activate("button", "Create a device group");
    await assertHasFocus(page);
    await keyboard.press("Escape");
    await eventually(async () => assert.ok(await keyboard.isAt(opener), "the focus is back where the dialog was opened"));
    await keyboard.press("Enter");
    await keyboard.fill("Name", "pos");
    const addApp = page.getByLabel("Add an app");
    await keyboard.reach(addApp);
    await keyboard.type("web");
    await keyboard.press("Enter");
    await page.getByRole("button", { name: "Remove web" }).waitFor();
    await keyboard.activate("button", "Show the plan");
    await page.locator(".plan").getByText("pos").first().waitFor();
    await keyboard.activate("button", "Create");
    await page.getByText("Device group pos is created, at revision 1").waitFor();
    await keyboard.activate("button", "Close");
    await page.getByRole("heading", { name: "pos", exact: true }).waitFor();

    // its devices: one enrols with a token that is shown once
    await keyboard.activate("button", "Enrol devices");
    await assertHasFocus(page);
    await keyboard.activate("button", "Make the token");
    const line = await page.getByRole("dialog").locator(".command-text").filter({ hasText: "NEBULA_ENROLL_TOKEN" }).first().innerText();
    const token = /NEBULA_ENROLL_TOKEN=(\S+)/.exec(line)?.[1] ?? assert.fail(line);
    await keyboard.activate("button", "Done");
    await startDevices(token.replaceAll(/['"\\]/g, ""));
    await assertLegend(page);

    // a change, followed to its end
    await keyboard.activate("link", "web");
    await keyboard.activate("link", "Edit");
    await keyboard.fill("Image", "busybox:2");
    await keyboard.activate("button", "Plan");
    await page.locator(".plan").getByText("busybox:2").first().waitFor();
    await keyboard.activate("button", "Apply");
    await keyboard.activate("link", "See how far devices are");
    const landed = await assertChange(page, 2n, "Every online device has it");
    assert.equal(landed.applied, BigInt(DEVICES + 1));

    // a change that breaks, from the app on
    await keyboard.activate("link", "web");
    await keyboard.activate("link", "Edit");
    await keyboard.fill("Image", MISSING);
    await keyboard.activate("button", "Plan");
    await page.locator(".plan").getByText(MISSING).first().waitFor();
    await keyboard.activate("button", "Apply");
    await keyboard.activate("link", "See how far devices are");
    const broken = await assertChange(page, 3n, "Some devices failed");
    assert.deepEqual([broken.applied, broken.failed], [1n, BigInt(DEVICES)]);
    await keyboard.activate("link", "Overview");
    await assertOverview(page);
    await keyboard.activate("link", "app web");
    await assertChange(page, 3n, "Some devices failed");

    // why, on the page of a device
    await keyboard.activate("link", "till-2");
    await page.getByRole("heading", { name: "till-2", exact: true }).waitFor();
    const stuck = page.locator(".link-stuck");
    await stuck.waitFor();
    const { explanation } = await rig.api.channel.unary(ExplainService.method.explain, { deviceId: "till-2" }, call());
    const reason = explanation?.targets[0]?.reason ?? assert.fail("no explanation");
    assert.ok(reason.includes(REFUSAL) && (await stuck.innerText()).includes(reason), await stuck.innerText());

    // back
    await keyboard.activate("link", "The change on its way to all devices");
    await keyboard.activate("link", "web");
    await assertLegend(page);
    const rollBack = page.getByRole("button", { name: "Roll back to revision 2" });
    await keyboard.activate("button", "Roll back to revision 2");
    await assertHasFocus(page);
    await page.locator(".plan").getByText("busybox:2").first().waitFor();
    await keyboard.activate("button", "Roll back");
    await page.getByText("web is at revision 4, as revision 2 was").waitFor();
    await keyboard.activate("button", "Close");
    await eventually(async () => assert.ok(await keyboard.isAt(rollBack)));
    await keyboard.activate("link", "4");
    const mended = await assertChange(page, 4n, "Every online device has it");
    assert.equal(mended.applied, BigInt(DEVICES + 1));
    await keyboard.activate("link", "Overview");
    await assertOverview(page);
    tab.assertNoFaults();
  });
});

/** Asserts that the dialog that opened has the focus. */
async function assertHasFocus(page: Page): Promise<void> {
  await page.getByRole("dialog").waitFor();
  await eventually(async () => assert.equal(await page.locator("dialog :focus").count(), 1, "the focus is in the dialog"));
}

/** Writes the picture of the README: `npm run docs:screenshot`. */
import { writeFileSync } from "node:fs";
import { eventually } from "../../common/testing/eventually.ts";
import { DashboardRig } from "./dashboard-rig.ts";
import { startLivelyFleet } from "./lively-fleet.ts";

const DEVICES = 300;
const FILE = new URL("../../docs/dashboard.png", import.meta.url);

describe("the picture of the README", function () {
  this.timeout(180_000);
  const rig = DashboardRig.describe(async (rig) => {
    rig.use(await startLivelyFleet(rig.server, DEVICES));
  });

  it("the picture shows the overview of a fleet in which much happens", async () => {
    const tab = await rig.open("/ui/", { viewport: { width: 1240, height: 1054 }, deviceScaleFactor: 1.6, colorScheme: "light" });
    await tab.login();
    const neverCame = tab.page.locator(".legend li").filter({ hasText: "never came" });
    await eventually(async () => (await neverCame.locator(".legend-count").innerText()) !== "0", { timeoutMs: 120_000, everyMs: 250 });
    await tab.page.evaluate("document.activeElement.blur()");
    writeFileSync(FILE, await tab.page.screenshot({ animations: "disabled" }));
    tab.assertNoFaults();
  });
});

import { strict as assert } from "node:assert";
import { eventually } from "../../common/testing/eventually.ts";
import { DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { FleetService } from "../../gen/nebula/v1/fleet_pb.ts";
import { createTillAndKiosk, DashboardRig } from "./dashboard-rig.ts";

const DEVICES = 3;
const PASSWORD = "a password of bob";

describe("a device_group in a browser", function () {
  this.timeout(90_000);
  const call = () => ({ headers: rig.api.headers, timeoutMs: 10_000 });
  const rig = DashboardRig.describe(async ({ api }) => {
    await api.createApp({ name: "web", dockerImage: "busybox:1" });
    await createTillAndKiosk(api);
    await api.createGroup("pos", ["web", "till", "kiosk"]);
    await api.createGroup("bare", []);
    for (const name of ["nightly", "weekly"]) await api.createCronJob({ name, schedule: "0 3 * * *", dockerImage: "busybox:1" });
    await api.createGroup("jobs", ["web"], ["nightly", "weekly"]);
  });
  before(async function () {
    this.timeout(60_000);
    await rig.devices("pos", DEVICES);
    await eventually(async () => assert.equal((await overview()).states?.failed, BigInt(DEVICES)), { timeoutMs: 40_000, everyMs: 100 });
  });

  const overview = async () => {
    const request = { deviceGroups: ["pos"], members: true };
    const { groups } = await rig.api.channel.unary(FleetService.method.getOverview, request, call());
    return groups[0] ?? assert.fail("there is no group pos");
  };

  it("a group shows its members in order with the numbers of the API, its devices, and what looks unintended", async () => {
    const tab = await rig.open("/ui/groups/pos");
    await tab.login();
    const members = tab.page.getByRole("table", { name: "Members" }).locator("tbody tr[aria-rowindex]");
    await members.first().waitFor();
    const group = await overview();
    assert.equal(await tab.number(/^[\d,]+ failed$/), Number(group.states?.failed));
    const cells = await Promise.all([0, 1, 2].map((row) => members.nth(row).locator("td").allInnerTexts()));
    assert.deepEqual(
      cells.map(([place, name, revision]) => [place, name, revision]),
      [
        ["1", "web", "1"],
        ["2", "till", "1"],
        ["3", "kiosk", "1"],
      ],
    );
    for (const [row, name] of ["web", "till", "kiosk"].entries()) {
      const states = group.members.find(({ newest }) => newest?.name === name)?.states;
      assert.deepEqual(cells[row]?.slice(5, 8), [states?.applied, states?.working, states?.failed].map(String), name);
    }
    await tab.page.getByText("3 devices", { exact: true }).waitFor();
    await tab.page
      .getByRole("region", { name: "What looks unintended" })
      .getByText(/host port|port 80/)
      .waitFor();
    tab.assertNoFaults();
  });

  it("the filter of its devices is part of the address, and a count leads to the devices that it counts", async () => {
    const tab = await rig.open("/ui/groups/pos");
    await tab.login();
    await tab.page.getByRole("link", { name: `${DEVICES} failed`, exact: true }).click();
    assert.match(tab.page.url(), /\/ui\/groups\/pos\?standing=failed$/);
    await tab.page.getByText("nebulactl devices list --device-group pos --standing failed").waitFor();
    await tab.page.getByRole("combobox", { name: "Connection" }).selectOption("offline");
    await tab.page.getByText("No device matches this filter").waitFor();
    assert.match(tab.page.url(), /\/ui\/groups\/pos\?standing=failed&connection=offline$/);
    await tab.page.getByRole("link", { name: "Show all devices" }).click();
    await tab.page.getByText("3 devices", { exact: true }).waitFor();
    assert.match(tab.page.url(), /\/ui\/groups\/pos$/);
    tab.assertNoFaults();
  });

  it("the arrow keys enter and pass rows of a table that have no link", async () => {
    const tab = await rig.open("/ui/groups/jobs");
    await tab.login();
    await tab.page.getByRole("table", { name: "Members" }).getByRole("link", { name: "web" }).focus();
    const rowOfFocus = () => tab.page.evaluate("Number(document.activeElement.closest('tr')?.getAttribute('aria-rowindex') ?? 0)");
    for (const [key, row] of [
      ["ArrowDown", 3],
      ["ArrowDown", 4],
      ["ArrowUp", 3],
      ["Home", 2],
      ["End", 4],
    ] as const) {
      await tab.page.keyboard.press(key);
      await eventually(async () => assert.equal(await rowOfFocus(), row, key));
    }
    tab.assertNoFaults();
  });

  it("a prune is confirmed beside the line of nebulactl that does the same, and is a revision of the history", async () => {
    const pruneId = async () => {
      const { deviceGroup } = await rig.api.channel.unary(DeviceGroupService.method.getDeviceGroup, { name: "pos" }, call());
      return deviceGroup?.pruneId ?? 0n;
    };
    const before = await pruneId();
    const tab = await rig.open("/ui/groups/pos");
    await tab.login();
    await tab.page.getByRole("button", { name: "Prune", exact: true }).click();
    const dialog = tab.page.getByRole("dialog", { name: "Prune pos" });
    await dialog.getByText("nebulactl device-groups prune pos").waitFor();
    assert.equal(await pruneId(), before, "nothing is done before it is confirmed");
    await dialog.getByRole("button", { name: "Prune", exact: true }).click();
    await dialog.getByText(/^Revision 2:/).waitFor();
    assert.equal(await pruneId(), before + 1n);
    await dialog.getByRole("button", { name: "Close" }).click();
    await tab.page.getByRole("table", { name: "History" }).getByText("prune", { exact: true }).waitFor();
    tab.assertNoFaults();
  });

  it("a user who may only read a group is not offered to prune it", async () => {
    await rig.api.createUser("bob", PASSWORD, { deviceGroups: { pos: "ro" } });
    const tab = await rig.open("/ui/groups/pos");
    await tab.login("bob", PASSWORD);
    await tab.page.getByRole("table", { name: "Members" }).getByText("not visible").first().waitFor();
    assert.equal(await tab.page.getByRole("button", { name: "Prune", exact: true }).count(), 0);
  });

  it("a group that runs nothing says the first thing to do, and one that is not there says so, also where its name is markup", async () => {
    const tab = await rig.open("/ui/groups/bare");
    await tab.login();
    await tab.page.getByText("This group runs nothing yet").waitFor();
    await tab.page.getByText("nebulactl device-groups update bare --apps APP").waitFor();
    await tab.page.getByText("nebulactl devices enroll --device-group bare").waitFor();
    tab.assertNoFaults();
    await tab.page.goto(`${rig.server.url}/ui/groups/${encodeURIComponent('<img src=x onerror="boom()">\u202e')}`);
    await tab.page.getByText("This address is not valid").first().waitFor();
    assert.equal(await tab.page.locator("main img").count(), 0);
    assert.deepEqual(
      tab.faults.filter((fault) => !/status of 400/.test(fault)),
      [],
    );
  });
});

import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { eventually } from "../../common/testing/eventually.ts";
import { DashboardRig } from "./dashboard-rig.ts";

const DEVICES = 120; // more than a page of the API

describe("the list of devices in a browser", function () {
  this.timeout(90_000);
  const rig = DashboardRig.describe(async ({ api }) => {
    await api.createApp({ name: "web", dockerImage: "busybox:1" });
    for (const group of ["pos", "kiosks"]) await api.createGroup(group, ["web"]);
  });
  before(async function () {
    this.timeout(60_000);
    await rig.devices("pos", DEVICES);
    await rig.devices("kiosks", 2);
    await rig.api.reported(`pos-${DEVICES}`);
    await rig.api.reported("kiosks-2");
  });

  it("a long list draws the rows in view alone, and reads on as it is scrolled to its end", async () => {
    const tab = await rig.open("/ui/devices");
    await tab.login();
    const rows = tab.page.getByRole("table", { name: "Devices" }).locator("tbody tr[aria-rowindex]");
    await rows.first().waitFor();
    await eventually(async () => {
      await tab.page.mouse.wheel(0, 20_000);
      assert.equal(await tab.page.getByText(`${DEVICES + 2} devices`, { exact: true }).count(), 1);
      assert.ok(await rows.last().isVisible());
      assert.match(await rows.last().innerText(), /pos-99/);
    });
    assert.ok((await rows.count()) < DEVICES, "not all are drawn");
    tab.assertNoFaults();
  });

  it("a filter is part of the address, and its line of nebulactl lists the same devices", async () => {
    const tab = await rig.open("/ui/devices?group=kiosks");
    await tab.login();
    await tab.page.getByText("2 devices", { exact: true }).waitFor();
    const line = await tab.page.locator(".command-text").innerText();
    assert.equal(line, "nebulactl devices list --device-group kiosks");
    const [, ...args] = line.split(" ");
    const env = { ...process.env, NEBULA_SERVER: rig.server.url, NEBULA_USER: "admin", NEBULA_PASSWORD: rig.server.password };
    const listed = spawnSync(process.execPath, ["cli/nebulactl.js", ...args, "-o", "json"], { encoding: "utf8", env });
    assert.equal(listed.status, 0, listed.stderr);
    const devices: { device_id: string }[] = JSON.parse(listed.stdout);
    assert.deepEqual(devices.map(({ device_id }) => device_id).sort(), ["kiosks-1", "kiosks-2"]);
    await tab.page.getByRole("combobox", { name: "Connection" }).selectOption("offline");
    await tab.page.getByText("No device matches this filter").waitFor();
    assert.match(tab.page.url(), /\?group=kiosks&connection=offline$/);
    await tab.page.getByRole("link", { name: "Show all devices" }).click();
    await tab.page.getByRole("link", { name: "kiosks" }).first().waitFor();
    tab.assertNoFaults();
  });

  it("a head of the list puts it in its order, turns that round, and takes it back, with the keyboard; the address and the line of nebulactl have it", async () => {
    const tab = await rig.open("/ui/groups/pos");
    await tab.login();
    const table = tab.page.getByRole("table", { name: "Devices" });
    const head = table.getByRole("columnheader", { name: "Device" });
    const isFirst = (id: string) =>
      eventually(async () => assert.equal(await table.locator("tbody tr[aria-rowindex]").first().getByRole("link").first().innerText(), id));
    await isFirst("pos-1");
    assert.equal(await head.getAttribute("aria-sort"), null);
    await head.getByRole("button").focus();
    await tab.page.keyboard.press("Enter");
    await tab.page.waitForURL(/\/ui\/groups\/pos\?sort=device_id$/);
    await eventually(async () => assert.equal(await head.getAttribute("aria-sort"), "ascending"));
    await tab.page.keyboard.press("Enter");
    await isFirst("pos-99");
    assert.equal(await head.getAttribute("aria-sort"), "descending");
    assert.match(tab.page.url(), /\?sort=device_id%3Adesc$/);
    await tab.page.getByText("nebulactl devices list --device-group pos --sort device_id:desc", { exact: true }).waitFor();
    await tab.page.keyboard.press("Enter");
    await isFirst("pos-1");
    assert.match(tab.page.url(), /\/ui\/groups\/pos$/);
    await tab.page.getByRole("combobox", { name: "Order", exact: true }).selectOption("reported:desc");
    await eventually(async () => assert.equal(await table.getByRole("columnheader", { name: "Reported" }).getAttribute("aria-sort"), "descending"));
    tab.assertNoFaults();
  });

  it("the numbers of a member, of an app and of a change each lead to a list of as many devices", async () => {
    const tab = await rig.open("/ui/groups/kiosks");
    await tab.login();
    const follow = async (link: string, address: RegExp) => {
      await tab.page.getByRole("link", { name: link, exact: true }).click();
      await tab.page.waitForURL(address);
      await tab.page.getByText("2 devices", { exact: true }).waitFor();
      assert.equal(await tab.page.getByRole("table", { name: "Devices" }).locator("tbody tr[aria-rowindex]").count(), 2);
    };
    await follow("2 applied in web", /\/ui\/groups\/kiosks\?target=app%2Fweb&standing=applied$/);
    await tab.page.getByText("nebulactl devices list --device-group kiosks --standing applied --target app/web", { exact: true }).waitFor();
    await tab.page.goto(`${rig.server.url}/ui/apps/web`);
    await follow("2 applied in kiosks", /\/ui\/devices\?group=kiosks&target=app%2Fweb&standing=applied$/);
    await tab.page.goto(`${rig.server.url}/ui/changes/device_group/kiosks/1`);
    await follow("2 applied", /\/ui\/devices\?target=device_group%2Fkiosks%401&standing=applied$/);
    tab.assertNoFaults();
  });

  it("text that is being typed into a filter stays while the list is read again, and counts at Enter", async () => {
    const tab = await rig.open("/ui/devices");
    await tab.login();
    await tab.page.getByRole("table", { name: "Devices" }).getByRole("link").first().waitFor();
    const field = tab.page.getByLabel("Group", { exact: true });
    await field.pressSequentially("kio");
    for (let read = 1; read <= 2; read++) await tab.page.waitForResponse(/\/ListDevices$/);
    assert.equal(await field.inputValue(), "kio");
    assert.match(tab.page.url(), /\/ui\/devices$/);
    await field.pressSequentially("sks");
    await field.press("Enter");
    await tab.page.getByText("2 devices", { exact: true }).waitFor();
    assert.match(tab.page.url(), /\?group=kiosks$/);
    assert.deepEqual([await field.inputValue(), await tab.page.evaluate("document.activeElement.type")], ["kiosks", "search"]);
    await tab.page.getByRole("navigation").getByRole("link", { name: "Devices" }).click();
    await eventually(async () => assert.equal(await field.inputValue(), ""));
    tab.assertNoFaults();
  });

  it("the arrow keys move among the rows of a table, beyond those that are drawn", async () => {
    const tab = await rig.open("/ui/devices");
    await tab.login();
    const rowOfFocus = () => tab.page.evaluate("Number(document.activeElement.closest('tr')?.getAttribute('aria-rowindex') ?? 0)");
    await tab.page.getByRole("table", { name: "Devices" }).getByRole("link").first().focus();
    assert.equal(await rowOfFocus(), 2);
    await tab.page.keyboard.press("ArrowDown");
    await eventually(async () => assert.equal(await rowOfFocus(), 3));
    for (let row = 4; row <= 60; row++) {
      await tab.page.keyboard.press("ArrowDown");
      await eventually(async () => assert.equal(await rowOfFocus(), row));
    }
    await tab.page.keyboard.press("Home");
    await eventually(async () => assert.equal(await rowOfFocus(), 2));
    await tab.page.getByRole("table", { name: "Devices" }).getByRole("row").nth(3).getByRole("link").first().focus();
    await tab.page.keyboard.press("Home");
    await eventually(async () => assert.equal(await rowOfFocus(), 2, "a key moves to the same row again"));
    tab.assertNoFaults();
  });
});

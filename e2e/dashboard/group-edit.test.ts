import { strict as assert } from "node:assert";
import { eventually } from "../../common/testing/eventually.ts";
import { DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { DashboardRig } from "./dashboard-rig.ts";
import { Keyboard } from "./keyboard.ts";

const PASSWORD = "a password of bob";
/** Presses of Tab that lead to any part of the page. */
const MOST_STOPS = 40;

describe("device_groups that are created and changed in a browser", function () {
  this.timeout(90_000);
  const rig = DashboardRig.describe();
  const call = () => ({ headers: rig.api.headers, timeoutMs: 10_000 });
  const group = async (name: string) => {
    const { deviceGroup } = await rig.api.channel.unary(DeviceGroupService.method.getDeviceGroup, { name }, call());
    return deviceGroup ?? assert.fail(`there is no device_group ${name}`);
  };

  it("the empty page names three steps, and creates a device_group by its plan, by the keyboard alone", async () => {
    const tab = await rig.open();
    await tab.login();
    const { page } = tab;
    const keyboard = new Keyboard(page, MOST_STOPS);
    await page.getByRole("heading", { name: "There is nothing here yet" }).waitFor();
    assert.deepEqual(await page.locator(".first-steps h3").allInnerTexts(), [
      "Create an app",
      "Create a device group with it",
      "Make an enrolment token",
    ]);
    await page.getByText("nebulactl devices enroll --device-group GROUP").waitFor();
    assert.equal(await page.getByRole("link", { name: "Create an app" }).getAttribute("href"), "/ui/create/app");
    await rig.api.createUser("eve", PASSWORD, {});
    const stranger = await rig.open();
    await stranger.login("eve", PASSWORD);
    await stranger.page.getByRole("heading", { name: "There is nothing here yet" }).waitFor();
    assert.equal(await stranger.page.getByText("Your rights do not cover this: ask an admin.").count(), 2);
    for (const role of ["button", "link"] as const) assert.equal(await stranger.page.getByRole(role, { name: /^Create/ }).count(), 0);
    for (const name of ["web", "api", "till"]) await rig.api.createApp({ name, dockerImage: "busybox:1" });
    await rig.api.createCronJob({ name: "nightly", schedule: "0 3 * * *", dockerImage: "busybox:1" });

    await keyboard.activate("button", "Create a device group");
    const dialog = page.getByRole("dialog", { name: "Create a device group" });
    await dialog.waitFor();
    await keyboard.fill("Name", "no name");
    await keyboard.activate("button", "Show the plan");
    await dialog.getByRole("alert").getByText('invalid name "no name"; use a letter or digit').waitFor();
    await keyboard.press("Control+A");
    await keyboard.type("pos");
    await keyboard.reach(dialog.getByLabel("Add an app", { exact: true }));
    for (const name of ["web", "api"]) {
      await keyboard.type(name);
      await keyboard.press("Enter");
      await dialog.getByRole("button", { name: `Remove ${name}` }).waitFor();
    }
    await keyboard.type("nope");
    await keyboard.press("Enter");
    await dialog.getByRole("alert").getByText("there is no app nope that you may see").waitFor();
    await keyboard.press("Control+A");
    await keyboard.press("Delete");
    await keyboard.reach(dialog.getByLabel("Add a cron_job", { exact: true }));
    await keyboard.type("nightly"); // asking for the plan adds what is typed
    await keyboard.activate("button", "Show the plan");
    await dialog.getByText(/device_group pos +created +revision 1/).waitFor();
    await dialog.getByText("nebulactl device-groups create pos --apps web,api --cron-jobs nightly").waitFor();
    await assert.rejects(group("pos"), "nothing is done before it is confirmed");
    await keyboard.activate("button", "Create");
    await dialog.getByText("Device group pos is created, at revision 1.").waitFor();
    const created = await group("pos");
    assert.deepEqual([created.apps, created.cronJobs], [["web", "api"], ["nightly"]]);
    await page.locator(".first-step-done").filter({ hasText: "Create a device group with it" }).waitFor(); // behind the dialog, which stays
    await keyboard.activate("button", "Close");
    await page.getByRole("heading", { name: "pos", level: 1 }).waitFor();
    assert.match(page.url(), /\/ui\/groups\/pos$/);
    tab.assertNoFaults();
  });

  it("members are moved, removed and added, and written by their plan with its revision", async () => {
    const { revision } = await group("pos");
    const tab = await rig.open("/ui/groups/pos");
    await tab.login();
    await tab.page.getByRole("button", { name: "Edit what it runs" }).click();
    const dialog = tab.page.getByRole("dialog", { name: "Edit what pos runs" });
    await dialog.getByRole("button", { name: "Move api up" }).focus();
    await tab.page.keyboard.press("Enter");
    const names = () => dialog.locator(".members-edit").first().locator(".name").allInnerTexts();
    await eventually(async () => assert.deepEqual(await names(), ["api", "web"]));
    const focused = () => tab.page.evaluate("document.activeElement.getAttribute('aria-label')");
    await eventually(async () => assert.equal(await focused(), "Move api down", "it is the first one: it may only go down"));
    await tab.page.mouse.click(5, 5); // beside the dialog, which keeps what was entered
    await dialog.getByRole("button", { name: "Remove web" }).click();
    await eventually(async () => assert.equal(await focused(), "Remove api"));
    await dialog.getByLabel("Add an app").fill("till");
    await dialog.getByRole("button", { name: "Add the app" }).click();
    await eventually(async () => assert.deepEqual(await names(), ["api", "till"]));
    await dialog.getByRole("button", { name: "Show the plan" }).click();
    await dialog.getByText(/apps +- web/).waitFor();
    await dialog.getByText(`nebulactl device-groups update pos --apps api,till --if-revision ${revision}`, { exact: true }).waitFor();
    await dialog.getByRole("button", { name: "Back" }).click();
    await eventually(async () => assert.deepEqual(await names(), ["api", "till"], "the form keeps what was entered"));
    await dialog.getByRole("button", { name: "Show the plan" }).click();
    await dialog.getByRole("button", { name: "Apply", exact: true }).click();
    await dialog.getByText(`pos is at revision ${revision + 1n}`).waitFor();
    const written = await group("pos");
    assert.deepEqual([written.apps, written.cronJobs], [["api", "till"], ["nightly"]]);
    await dialog.getByRole("button", { name: "Close" }).click();
    const members = tab.page.getByRole("table", { name: "Members" }).locator("tbody tr[aria-rowindex]");
    await eventually(async () =>
      assert.deepEqual(
        (await members.allInnerTexts()).map((text) => text.split("\t")[1]?.split(/\s/)[0]),
        ["api", "till", "nightly"],
      ),
    );
    tab.assertNoFaults();
  });

  it("a change in between is never overwritten: its plan says so before, and the write is refused after", async () => {
    const tab = await rig.open("/ui/groups/pos");
    await tab.login();
    const dialog = tab.page.getByRole("dialog", { name: "Edit what pos runs" });
    await tab.page.getByRole("button", { name: "Edit what it runs" }).click();
    await dialog.waitFor();
    await tab.page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    const edit = async () => {
      await tab.page.getByRole("button", { name: "Edit what it runs" }).click();
      await dialog.getByRole("button", { name: "Remove till" }).click();
    };
    await edit();
    const { revision } = await rig.api.updateGroup("pos", ["web", "till"]);
    await dialog.getByRole("button", { name: "Show the plan" }).click();
    await dialog.getByText(`it is at revision ${revision}, and this form began with revision ${revision - 1n}`).waitFor();
    assert.equal(await dialog.getByRole("button", { name: "Apply", exact: true }).count(), 0);
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await tab.page.getByText(`Revision ${revision},`).waitFor();
    await edit();
    await dialog.getByRole("button", { name: "Show the plan" }).click();
    await dialog.getByText(/apps +- till/).waitFor();
    await rig.api.updateGroup("pos", ["web", "till", "api"]);
    await dialog.getByRole("button", { name: "Apply", exact: true }).click();
    await dialog.getByText("It was changed meanwhile: nothing was done").waitFor();
    assert.deepEqual((await group("pos")).apps, ["web", "till", "api"]);
  });

  it("the overview creates a device_group; one of that name is not created again", async () => {
    const tab = await rig.open();
    await tab.login();
    await tab.page.getByRole("heading", { name: "No device is here yet" }).waitFor();
    const create = tab.page
      .locator("section", { has: tab.page.getByRole("table", { name: "Device groups" }) })
      .getByRole("button", { name: "Create a device group" });
    const dialog = tab.page.getByRole("dialog", { name: "Create a device group" });
    await create.click();
    await dialog.getByLabel("Name").fill("pos");
    await tab.page.keyboard.press("Enter");
    await dialog.getByText("device_group pos exists already").waitFor();
    await dialog.getByRole("button", { name: "Back" }).click();
    await dialog.getByLabel("Name").fill("kiosks");
    await tab.page.keyboard.press("Enter");
    await dialog.getByRole("button", { name: "Create", exact: true }).click();
    await dialog.getByText("Device group kiosks is created").waitFor();
    await dialog.getByRole("button", { name: "Close" }).click();
    await tab.page.getByRole("button", { name: "Choose what it runs" }).waitFor();
    tab.assertNoFaults();
  });

  it("a device_group is deleted by its plan, and its page then says how it comes back", async () => {
    const tab = await rig.open("/ui/groups/kiosks");
    await tab.login();
    await tab.page.getByRole("button", { name: "Delete", exact: true }).click();
    const dialog = tab.page.getByRole("dialog", { name: "Delete kiosks" });
    await dialog.getByText(/device_group kiosks +deleted +revision 1 -> 2/).waitFor();
    await dialog.getByText("nebulactl device-groups delete kiosks --if-revision 1").waitFor();
    await dialog.getByRole("button", { name: "Delete", exact: true }).click();
    await dialog.getByText("kiosks is deleted, as revision 2").waitFor();
    await dialog.getByRole("button", { name: "Close" }).click();
    await tab.page.getByText("There is no such device group").waitFor();
    await tab.page.getByText("nebulactl rollback device_group/kiosks").waitFor();
    await assert.rejects(group("kiosks"));
  });

  it("what the rights refuse is not offered, and names that they do not cover are refused with their plan", async () => {
    await rig.api.createUser("bob", PASSWORD, { apps: { "*": "ro" }, deviceGroups: { pos: "ro" } });
    const reader = await rig.open();
    await reader.login("bob", PASSWORD);
    await reader.page.getByRole("table", { name: "Device groups" }).waitFor();
    assert.equal(await reader.page.getByRole("button", { name: "Create a device group" }).count(), 0);
    const steps = reader.page.locator(".first-steps");
    await steps.getByText("Your rights do not cover this: ask an admin.").waitFor();
    assert.equal(await steps.getByRole("link").count(), 0, "it may make no enrolment token of pos");
    await reader.page.getByRole("table", { name: "Device groups" }).getByRole("link", { name: "pos" }).first().click();
    await reader.page.getByRole("table", { name: "Members" }).waitFor();
    for (const action of ["Edit what it runs", "Delete", "Enrol devices"])
      assert.equal(await reader.page.getByRole("button", { name: action, exact: true }).count(), 0, action);
    reader.assertNoFaults();

    await rig.api.createUser("ann", PASSWORD, { apps: { "*": "ro" }, deviceGroups: { "*": "ro", "shop-*": "rw" } });
    const writer = await rig.open();
    await writer.login("ann", PASSWORD);
    const dialog = writer.page.getByRole("dialog", { name: "Create a device group" });
    await writer.page.getByRole("button", { name: "Create a device group" }).first().click();
    await dialog.getByLabel("Name").fill("office");
    await writer.page.keyboard.press("Enter");
    await dialog.getByText("it needs rw on the device_group office").waitFor();
    assert.equal(await dialog.getByRole("button", { name: "Create", exact: true }).count(), 0);
    await dialog.getByRole("button", { name: "Back" }).click();
    await dialog.getByLabel("Name").fill("shop-1");
    await writer.page.keyboard.press("Enter");
    await dialog.getByRole("button", { name: "Create", exact: true }).click();
    await dialog.getByText("Device group shop-1 is created").waitFor();
    writer.assertNoFaults();
  });
});

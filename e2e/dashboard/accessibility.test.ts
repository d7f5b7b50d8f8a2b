import { strict as assert } from "node:assert";
import axe, { type AxeResults } from "axe-core";
import type { Page } from "playwright-core";
import { eventually } from "../../common/testing/eventually.ts";
import { UserGroupService } from "../../gen/nebula/v1/user_group_pb.ts";
import { UserService } from "../../gen/nebula/v1/user_pb.ts";
import { DashboardRig } from "./dashboard-rig.ts";
import { startLivelyFleet } from "./lively-fleet.ts";
import { pathsOfViews } from "./paths-of-views.ts";

const DEVICES = 100;
const PASSWORD = "a password of eve";

/** An address of a view, and what is done there before it is looked at. */
type Case = Readonly<{ what: string; address: string; open?: (page: Page) => Promise<unknown> }>;

const press = (name: string) => (page: Page) => page.getByRole("button", { name, exact: true }).click();

/** Opens a dialog, and waits until its plan, or its answer, is shown. */
function dialog(button: string): (page: Page) => Promise<unknown> {
  return async (page) => {
    await press(button)(page);
    await page.getByRole("dialog").locator("pre, dl").first().waitFor();
  };
}

async function breakYaml(page: Page): Promise<void> {
  await press("YAML")(page);
  await page.getByRole("textbox", { name: "YAML" }).fill("kind: app\nname: checkout\nstarting_ports: 5\n");
  await press("Plan")(page);
  await page.getByRole("alert").waitFor();
}

async function planImage(page: Page): Promise<void> {
  await page.getByRole("textbox", { name: "Image" }).fill("shop/price-tags:2.9.0");
  await press("Plan")(page);
  await page.locator("pre").waitFor();
}

/** Asks for the plan of a device_group without a name. */
async function refusedName(page: Page): Promise<void> {
  await press("Create a device group")(page);
  await press("Show the plan")(page);
  await page.getByRole("alert").waitFor();
}

async function madeToken(page: Page): Promise<void> {
  await press("Enrol devices")(page);
  await press("Make the token")(page);
  await page.getByRole("button", { name: "Done" }).waitFor();
}

/** Of each view, by its path: addresses that show all of its parts. */
const CASES: Readonly<Record<string, readonly Case[]>> = {
  "/ui/": [
    { what: "overview", address: "/ui/" },
    { what: "keys of the keyboard", address: "/ui/", open: dialog("Keyboard") },
    { what: "form of a new group, with a name that is refused", address: "/ui/", open: refusedName },
  ],
  "/ui/devices": [
    { what: "devices", address: "/ui/devices" },
    { what: "devices, none of which matches", address: "/ui/devices?group=nowhere" },
  ],
  "/ui/groups/:name": [
    { what: "group", address: "/ui/groups/stores-berlin" },
    { what: "group with a cron_job", address: "/ui/groups/warehouse" },
    { what: "group that is not there", address: "/ui/groups/nowhere" },
    { what: "prune of a group", address: "/ui/groups/kiosks", open: dialog("Prune") },
    { what: "delete of a group", address: "/ui/groups/kiosks", open: dialog("Delete") },
    { what: "form of what a group runs", address: "/ui/groups/kiosks", open: press("Edit what it runs") },
    { what: "form of an enrolment token", address: "/ui/groups/kiosks", open: press("Enrol devices") },
    { what: "enrolment token that was made", address: "/ui/groups/kiosks", open: madeToken },
  ],
  "/ui/apps": [{ what: "apps", address: "/ui/apps" }],
  "/ui/apps/:name": [
    { what: "app with what differs between two revisions", address: "/ui/apps/checkout?from=1&to=2" },
    { what: "app that is not there", address: "/ui/apps/nothing" },
    { what: "restart of an app", address: "/ui/apps/checkout", open: dialog("Restart") },
    { what: "rollback of an app", address: "/ui/apps/checkout", open: dialog("Roll back to revision 1") },
  ],
  "/ui/apps/:name/edit": [
    {
      what: "editor of an app as a form",
      address: "/ui/apps/checkout/edit",
      open: (page) => page.getByRole("button", { name: "Add a variable" }).click(),
    },
    { what: "editor of an app as YAML, with a fault", address: "/ui/apps/checkout/edit", open: breakYaml },
    { what: "editor of an app with its plan", address: "/ui/apps/price-tags/edit", open: planImage },
  ],
  "/ui/create/app": [
    { what: "editor of a new app", address: "/ui/create/app", open: (page) => page.getByRole("button", { name: "Plan" }).waitFor() },
    { what: "editor of a new app that has faults", address: "/ui/create/app", open: press("Plan") },
  ],
  "/ui/devices/:id": [
    { what: "device that failed", address: "/ui/devices/berlin-016" },
    { what: "device that is as wanted", address: "/ui/devices/berlin-001" },
    { what: "device that is offline", address: "/ui/devices/berlin-019" },
    { what: "device that never came", address: "/ui/devices/dock-spare-1" },
    { what: "device that is not known", address: "/ui/devices/nobody" },
    { what: "forgetting a device", address: "/ui/devices/berlin-001", open: dialog("Forget this device") },
  ],
  "/ui/changes/:kind/:name/:revision": [
    { what: "change on its way", address: "/ui/changes/app/checkout/2" },
    { what: "change that a newer one superseded", address: "/ui/changes/app/log-shipper/2" },
    { what: "change of a group", address: "/ui/changes/device_group/kiosks/1" },
    { what: "address that names no change", address: "/ui/changes/user/ann/1" },
  ],
  "/ui/users": [{ what: "users", address: "/ui/users" }],
  "/ui/users/:name": [
    { what: "user with a session", address: "/ui/users/eve" },
    { what: "user in no user_group", address: "/ui/users/robot" },
    { what: "user that is not there", address: "/ui/users/nobody-2" },
    { what: "end of a session", address: "/ui/users/eve", open: (page) => endSession(page) },
  ],
  "/ui/user-groups": [{ what: "user_groups", address: "/ui/user-groups" }],
  "/ui/user-groups/:name": [{ what: "user_group with a member that is not a user", address: "/ui/user-groups/shop" }],
  "/ui/audit": [
    { what: "audit log", address: "/ui/audit" },
    { what: "audit log, of which no entry matches", address: "/ui/audit?user=nobody-2" },
    { what: "audit log with a time that is not valid", address: "/ui/audit?since=yesterday" },
    { what: "entry of the audit log", address: "/ui/audit?kind=user", open: (page) => page.getByRole("button", { name: /ago$/ }).first().click() },
  ],
  "/ui/account": [{ what: "sessions of the user", address: "/ui/account" }],
};

async function endSession(page: Page): Promise<void> {
  await page.getByRole("button", { name: /^End session/ }).click();
  await page.getByRole("dialog").locator("pre").waitFor();
}

/** Creates a user with a session, one in no user_group, and a user_group. */
async function createUsers({ api, server }: DashboardRig): Promise<void> {
  const call = { headers: api.headers, timeoutMs: 10_000 };
  for (const name of ["eve", "robot"]) await api.channel.unary(UserService.method.createUser, { name, password: PASSWORD }, call);
  const userGroup = { name: "shop", groupMembers: ["eve", "gone"], apps: { "shop-*": "rw", db: "ro" }, deviceGroups: { "*": "ro" } };
  await api.channel.unary(UserGroupService.method.createUserGroup, { userGroup }, call);
  const headers = { "content-type": "application/json", origin: server.url };
  const login = await fetch(`${server.url}/ui/login`, { method: "POST", headers, body: JSON.stringify({ user: "eve", password: PASSWORD }) });
  assert.equal(login.status, 200);
}

const LOOKS = [
  { colorScheme: "light", width: 1440 },
  { colorScheme: "dark", width: 1440 },
  { colorScheme: "dark", width: 360 },
  { colorScheme: "light", width: 360 },
] as const;

/** Asserts that axe finds no barrier, of any impact. Its source runs as an expression of the debugger, so the page keeps its Content-Security-Policy. */
async function assertNoBarriers(page: Page, what: string): Promise<void> {
  await page.evaluate(axe.source);
  const barriers: string[] = [];
  for (const { colorScheme, width } of LOOKS) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height: 900 });
    await page.evaluate("new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))"); // rows that came into view are drawn
    const { violations, passes } = await page.evaluate<AxeResults>("axe.run(document, { resultTypes: ['violations'] })");
    assert.ok(passes.length >= 10, `axe looked at ${passes.length} things of: ${what}`);
    for (const { impact, id, help, nodes } of violations)
      for (const { target, failureSummary } of nodes)
        barriers.push(`${impact} ${id} in ${what}, ${colorScheme}, ${width} px: ${help}\n    ${target.join(" ")}\n    ${failureSummary}`);
  }
  assert.ok(barriers.length === 0, barriers.join("\n"));
}

/** Waits until a view shows its data. */
async function settled(page: Page): Promise<void> {
  await page.locator("h1").first().waitFor();
  await eventually(async () => assert.equal(await page.locator(".loading").count(), 0));
}

describe("the dashboard for a keyboard and a screen reader", function () {
  this.timeout(90_000);
  const empty = DashboardRig.describe();

  it("the form of a login, and what an empty server shows, have no barrier", async () => {
    const tab = await empty.open();
    await tab.page.getByLabel("User").waitFor();
    await assertNoBarriers(tab.page, "login");
    await tab.page.getByLabel("User").fill("admin");
    await tab.page.getByLabel("Password").fill("not the password");
    await tab.page.getByRole("button", { name: "Log in" }).click();
    await tab.page.getByRole("alert").waitFor();
    await assertNoBarriers(tab.page, "login that was refused");
    await tab.login();
    for (const address of ["/ui/", "/ui/devices", "/ui/apps", "/ui/users", "/ui/user-groups", "/ui/nothing"]) {
      await tab.page.goto(`${empty.server.url}${address}`);
      await settled(tab.page);
      await assertNoBarriers(tab.page, `${address} of an empty server`);
    }
    tab.assertNoFaults();
  });
});

describe("the dashboard of a fleet for a keyboard and a screen reader", function () {
  this.timeout(90_000);
  const rig = DashboardRig.describe(async (rig) => {
    rig.use(await startLivelyFleet(rig.server, DEVICES));
    await createUsers(rig);
  });

  it("each view is looked at", async () => {
    assert.deepEqual((await pathsOfViews()).toSorted(), Object.keys(CASES).toSorted());
  });

  for (const [path, cases] of Object.entries(CASES)) {
    it(`the view ${path} has no barrier, in light and dark colours, at 360 px and at 1440 px`, async () => {
      const tab = await rig.open();
      await tab.login();
      tab.page.on("dialog", (question) => question.accept()); // that a draft is left
      for (const { what, address, open } of cases) {
        await tab.page.goto(`${rig.server.url}${address}`);
        await settled(tab.page);
        await open?.(tab.page);
        await assertNoBarriers(tab.page, what);
        await tab.page.setViewportSize({ width: 1440, height: 900 });
      }
    });
  }
});

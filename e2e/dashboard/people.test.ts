import { strict as assert } from "node:assert";
import { eventually } from "../../common/testing/eventually.ts";
import { AccessService } from "../../gen/nebula/v1/access_pb.ts";
import { UserGroupService } from "../../gen/nebula/v1/user_group_pb.ts";
import { UserService } from "../../gen/nebula/v1/user_pb.ts";
import { type DashboardPage, DashboardRig } from "./dashboard-rig.ts";

const PASSWORD = "a password of bob";
const USERS = 130; // more than a page of the view

describe("users, user_groups and sessions in a browser", function () {
  this.timeout(90_000);
  const call = () => ({ headers: rig.api.headers, timeoutMs: 10_000 });
  const createGroup = (userGroup: Readonly<{ name: string; groupMembers: string[] }> & Record<string, unknown>) =>
    rig.api.channel.unary(UserGroupService.method.createUserGroup, { userGroup }, call());
  const rig = DashboardRig.describe();

  it("where there are no users and no user_groups the views say the first thing to do", async () => {
    const tab = await rig.open("/ui/users");
    await tab.login();
    await tab.page.getByText("There are no users yet").waitFor();
    await tab.page.getByText("nebulactl users create NAME").waitFor();
    await tab.page.getByRole("navigation").getByRole("link", { name: "User groups" }).click();
    await tab.page.getByText("There are no user groups yet").waitFor();
    tab.assertNoFaults();
  });

  describe("with users", () => {
    before(async function () {
      this.timeout(60_000);
      const { createUser } = UserService.method;
      const hash = "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe";
      for (let number = 0; number < USERS; number++) {
        await rig.api.channel.unary(createUser, { name: `user-${1000 + number}`, passwordHash: hash }, call());
      }
      for (const name of ["ann", "bob"]) await rig.api.channel.unary(createUser, { name, password: PASSWORD }, call());
      for (let number = 0; number < 12; number++) await createGroup({ name: `crew-${10 + number}`, groupMembers: ["ann"] });
      await createGroup({
        name: "shop",
        groupMembers: ["ann", "bob", "gone"],
        apps: { "shop-*": "rw", db: "ro" },
        deviceGroups: { "*": "ro" },
        pruningAllowed: true,
      });
    });

    const rowOf = (tab: DashboardPage, table: string, name: string) =>
      tab.page
        .getByRole("table", { name: table })
        .locator("tr")
        .filter({ has: tab.page.getByRole("link", { name, exact: true }) });

    it("the list of users has the user_groups, credentials and changes of the API, and reads on as it is scrolled", async () => {
      const tab = await rig.open("/ui/users");
      await tab.login();
      await tab.page.getByText("nebulactl users list").waitFor();
      await tab.page.getByText("100 users so far").waitFor();
      const cells = await rowOf(tab, "Users", "ann").locator("td").allInnerTexts();
      assert.deepEqual(cells.slice(0, 5), ["ann", "crew-10, crew-11, crew-12, 10 more", "argon2id", "yes", "1"]);
      assert.match(cells[5] ?? "", /^\d+ (s|min) ago by admin$/);
      assert.equal(await rowOf(tab, "Users", "user-1000").locator("td").nth(1).innerText(), "none");
      assert.equal(await rowOf(tab, "Users", "user-1000").locator("td").nth(2).innerText(), "bcrypt");
      await eventually(async () => {
        await tab.page.mouse.wheel(0, 20_000);
        assert.equal(await tab.page.getByText(`${USERS + 2} users`, { exact: true }).count(), 1);
        assert.ok(await rowOf(tab, "Users", `user-${1000 + USERS - 1}`).isVisible());
      });
      tab.assertNoFaults();
    });

    it("a user has all its user_groups and a warning where there are none, and leads to the audit log of it", async () => {
      const tab = await rig.open("/ui/users/ann");
      await tab.login();
      const card = tab.page.getByRole("region", { name: "Login and rights" });
      await card.getByRole("link", { name: "shop" }).waitFor();
      const { userGroups } = await rig.api.channel.unary(UserService.method.getUser, { name: "ann", userGroups: true }, call());
      assert.equal(userGroups.length, 13);
      assert.deepEqual(await card.getByRole("link", { name: /^(crew|shop)/ }).allInnerTexts(), userGroups);
      assert.equal(await tab.page.getByText("What looks unintended").count(), 0);
      await card.getByRole("link", { name: "what was changed about it" }).click();
      assert.match(tab.page.url(), /\/ui\/audit\?kind=user&name=ann$/);
      await tab.page.getByText("1 entry", { exact: true }).waitFor();
      await tab.page.goto(`${rig.server.url}/ui/users/user-1000`);
      await tab.page.getByRole("region", { name: "What looks unintended" }).getByText("user user-1000 is in no user_group").waitFor();
      tab.assertNoFaults();
    });

    it("a user_group has its rights in words, its members and its warnings", async () => {
      const tab = await rig.open("/ui/user-groups");
      await tab.login();
      const row = rowOf(tab, "User groups", "shop");
      await row.waitFor();
      await tab.page.getByText("13 user groups", { exact: true }).waitFor();
      const [, members, rights] = await row.locator("td").allInnerTexts();
      assert.equal(members, "3");
      assert.equal(rights, "read and change apps shop-*; read apps db; read all device_groups; prune the device_groups that it may read");
      await row.getByRole("link", { name: "shop" }).click();
      await tab.page.getByText("user_group shop names the user gone, which does not exist").waitFor();
      const card = tab.page.getByRole("region", { name: "What its members may do" });
      assert.match(
        await card.innerText(),
        /Read and change apps\s+shop-\*\s+Read apps\s+db\s+Read all device_groups\s+Prune the device_groups that it may read/,
      );
      await card.getByText("nebulactl user-groups info shop").waitFor();
      await rowOf(tab, "Members", "bob").getByRole("link").click();
      await tab.page.getByRole("heading", { name: "bob", exact: true }).waitFor();
      tab.assertNoFaults();
    });

    it("a user who is not an admin is not led to these views, and is refused them with the reason at their addresses", async () => {
      const tab = await rig.open("/ui/users");
      await tab.login("bob", PASSWORD);
      await tab.page.getByRole("alert").getByText("Your rights do not cover this").waitFor();
      const forAdmins = async () => {
        const shown = await tab.page.getByRole("navigation").getByRole("link").allInnerTexts();
        assert.ok(shown.includes("Devices"));
        return shown.filter((word) => ["Users", "User groups", "Audit"].includes(word));
      };
      assert.deepEqual(await forAdmins(), []);
      for (const path of ["/ui/users/ann", "/ui/user-groups", "/ui/user-groups/shop", "/ui/audit"]) {
        await tab.page.goto(`${rig.server.url}${path}`);
        await tab.page.getByRole("alert").getByText("bob may not do this: it needs an admin").waitFor();
      }
      await createGroup({ name: "root", groupMembers: ["bob"], admin: true });
      await tab.page.getByRole("navigation").getByRole("link", { name: "Users" }).click();
      await rowOf(tab, "Users", "ann").waitFor();
      await rig.api.channel.unary(UserGroupService.method.deleteUserGroup, { name: "root" }, call());
      await tab.page.getByRole("alert").getByText("bob may not do this").waitFor();
      await eventually(async () => assert.deepEqual(await forAdmins(), []));
    });

    it("a user ends a session of its own from the page of its login, and the other browser is led to the form with the reason", async () => {
      const other = await rig.open("/ui/devices");
      await other.login("bob", PASSWORD);
      await other.page.getByText("There are no devices yet").waitFor();
      const tab = await rig.open();
      await tab.login("bob", PASSWORD);
      await tab.page.getByRole("link", { name: "bob", exact: true }).click();
      await tab.page.getByRole("heading", { name: "bob", exact: true }).waitFor();
      const table = tab.page.getByRole("table", { name: "Sessions" });
      const { listSessions } = AccessService.method;
      const sessions = async () => (await rig.api.channel.unary(listSessions, { user: "bob" }, call())).sessions;
      await eventually(async () => assert.equal(await table.locator("tbody tr[aria-rowindex]").count(), (await sessions()).length));
      const before = await sessions();
      assert.deepEqual(
        await table.getByRole("row").filter({ hasText: "this browser" }).locator("code").allInnerTexts(),
        [before[0]?.id],
        "the newest is that of this tab",
      );
      const ended = before[1]?.id ?? assert.fail("the other browser has no session");
      await table.getByRole("button", { name: `End session ${ended}` }).click();
      const dialog = tab.page.getByRole("dialog", { name: `End session ${ended}` });
      await dialog.getByText(`nebulactl sessions delete ${ended}`).waitFor();
      assert.equal((await sessions()).length, before.length, "nothing is done before it is confirmed");
      await dialog.getByRole("button", { name: "End", exact: true }).click();
      await dialog.getByText("The session has ended.").waitFor();
      await dialog.getByRole("button", { name: "Close" }).click();
      await other.page.getByText("Your login ended. Log in again to continue where you were.").waitFor();
      assert.deepEqual(
        (await sessions()).map(({ id }) => id),
        before.map(({ id }) => id).filter((id) => id !== ended),
      );
      await eventually(async () => assert.equal(await table.getByText(ended).count(), 0));
      await other.login("bob", PASSWORD);
      await other.page.getByRole("heading", { name: "Devices", exact: true }).waitFor();
      tab.assertNoFaults();
    });

    it("an admin ends a session of another user from the view of that user", async () => {
      const other = await rig.open();
      await other.login("ann", PASSWORD);
      const tab = await rig.open("/ui/users/ann");
      await tab.login();
      await tab.page.getByRole("button", { name: /^End session / }).click();
      await tab.page
        .getByRole("dialog")
        .getByText(/^The browser at \S+ in which ann is logged in has to log in again/)
        .waitFor();
      await tab.page.getByRole("dialog").getByRole("button", { name: "End", exact: true }).click();
      await tab.page.getByRole("dialog").getByText("The session has ended.").waitFor();
      await other.page.getByText("Your login ended.").waitFor();
      await tab.page.getByText("Nobody is logged in by a browser").waitFor();
      tab.assertNoFaults();
    });

    it("a name that is markup, or moves text, is shown as text where there is no such user", async () => {
      const tab = await rig.open();
      await tab.login();
      for (const path of ["users", "user-groups"]) {
        await tab.page.goto(`${rig.server.url}/ui/${path}/${encodeURIComponent('<img src=x onerror="boom()">\u202e')}`);
        await tab.page.getByText("This address is not valid").first().waitFor();
        assert.match(await tab.page.getByRole("heading", { level: 1 }).innerText(), /^<img src=x onerror="boom\(\)">\\u202e$/);
        assert.equal(await tab.page.locator("main img").count(), 0);
      }
      assert.deepEqual(
        tab.faults.filter((fault) => !/status of 400/.test(fault)),
        [],
      );
    });

    for (const colorScheme of ["light", "dark"] as const) {
      it(`all views are in the navigation of a window of 360 px, and none is wider, in ${colorScheme} colours`, async () => {
        const tab = await rig.open("/ui/", { colorScheme, viewport: { width: 360, height: 800 } });
        await tab.login();
        for (const name of ["Users", "User groups", "Audit"]) {
          const link = tab.page.getByRole("navigation").getByRole("link", { name, exact: true });
          const { x = -1, width = 0 } = (await link.boundingBox()) ?? {};
          assert.ok(x >= 0 && x + width <= 360, `${name} is at ${x}, ${width} px wide`);
          await link.click();
          await tab.page.getByRole("table").waitFor();
          assert.equal(await tab.page.evaluate("document.documentElement.scrollWidth"), 360, name);
        }
        for (const path of ["/ui/users/ann", "/ui/user-groups/shop", "/ui/account"]) {
          await tab.page.goto(`${rig.server.url}${path}`);
          await tab.page.getByText("nebulactl").first().waitFor();
          assert.equal(await tab.page.evaluate("document.documentElement.scrollWidth"), 360, path);
        }
        tab.assertNoFaults();
      });
    }
  });
});

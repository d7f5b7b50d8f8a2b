import { strict as assert } from "node:assert";
import { eventually } from "../../common/testing/eventually.ts";
import { UserGroupService } from "../../gen/nebula/v1/user_group_pb.ts";
import { apply, field, openEditor, panel, press } from "./app-editor.ts";
import { DashboardRig } from "./dashboard-rig.ts";

const PASSWORD = "a password of ann";

describe("drafts of an app in a browser", function () {
  this.timeout(90_000);
  const rig = DashboardRig.describe(async ({ api }) => {
    await api.createApp({ name: "web", dockerImage: "busybox:1", secretEnvVars: { TOKEN: "a secret of ours" } });
  });

  it("a change between the plan and its apply is refused, and taken over by the next plan", async () => {
    const tab = await openEditor(rig, "/ui/apps/web/edit");
    await field(tab, "Image").fill("busybox:3");
    await press(tab, "Plan");
    await panel(tab).getByText("-> busybox:3").waitFor();
    const changed = await rig.api.updateApp("web", { cpus: 2, secretEnvVars: { TOKEN: "another secret" } });
    await apply(tab).click();
    await tab.page.getByText("It was changed meanwhile: nothing was done").waitFor();
    assert.equal((await rig.api.app("web")).revision, changed.revision);
    await panel(tab).getByText(`It is at revision ${changed.revision} now.`).waitFor();
    await eventually(async () => assert.equal(await tab.page.evaluate("document.activeElement.innerText"), "Plan again"));
    await tab.page.keyboard.press("Enter");
    await panel(tab).getByText(`Revision ${changed.revision} came in between: what you did not touch is as it is there.`).waitFor();
    assert.equal(await field(tab, "Cores per container, at most").inputValue(), "2");
    await panel(tab).getByText("-> busybox:3").waitFor();
    await apply(tab).click();
    await tab.page.getByText(`web is at revision ${changed.revision + 1n}`).waitFor();
    const { dockerImage, cpus, secretEnvVars } = await rig.api.app("web");
    assert.deepEqual([dockerImage, cpus, secretEnvVars], ["busybox:3", 2, changed.secretEnvVars]);
  });

  it("a draft is left after a question alone, by a link, by the browser and by a logout", async () => {
    const tab = await openEditor(rig, "/ui/");
    await tab.page.goto(`${rig.server.url}/ui/apps/web`);
    await tab.page.getByRole("link", { name: "Edit" }).click();
    const asked: string[] = [];
    let answer: "accept" | "dismiss" = "dismiss";
    tab.page.on("dialog", (dialog) => {
      asked.push(dialog.type());
      void dialog[answer]();
    });
    await field(tab, "Image").fill("busybox:draft");
    await tab.page.getByRole("link", { name: "Overview" }).click();
    await eventually(async () => assert.deepEqual(asked, ["confirm"]));
    await tab.page.evaluate("history.back()");
    await eventually(async () => assert.deepEqual(asked, ["confirm", "confirm"]));
    await press(tab, "Log out");
    await eventually(async () => assert.deepEqual(asked, ["confirm", "confirm", "confirm"]));
    assert.match(tab.page.url(), /\/ui\/apps\/web\/edit$/);
    assert.equal(await field(tab, "Image").inputValue(), "busybox:draft");
    answer = "accept";
    await tab.page.getByRole("link", { name: "Overview" }).click();
    await tab.page.getByRole("heading", { name: "Overview" }).waitFor();
    await tab.page.evaluate("history.back()");
    await field(tab, "Image").waitFor();
    assert.notEqual(await field(tab, "Image").inputValue(), "busybox:draft", "what was left is gone");
    assert.deepEqual(asked, ["confirm", "confirm", "confirm", "confirm"]);
    tab.assertNoFaults();
  });

  it("a draft outlasts a login that ends", async () => {
    const tab = await openEditor(rig, "/ui/apps/web/edit");
    await field(tab, "Image").fill("busybox:draft");
    await tab.page.context().clearCookies();
    await tab.page.getByText("Your login ended").waitFor();
    await tab.login();
    await field(tab, "Image").waitFor();
    assert.equal(await field(tab, "Image").inputValue(), "busybox:draft");
  });

  it("a draft that is applied while its login ends is kept no longer", async () => {
    const tab = await openEditor(rig, "/ui/apps/web/edit");
    const { page } = tab;
    await field(tab, "Image").fill("busybox:late");
    await press(tab, "Plan");
    await eventually(async () => assert.ok(await apply(tab).isEnabled()));
    await page.route("**/nebula.v1.AppService/UpdateApp", async (route) => {
      const response = await route.fetch();
      await page.context().clearCookies();
      await page.getByText("Your login ended").waitFor();
      await route.fulfill({ response });
    });
    const answered = page.waitForEvent("requestfinished", (request) => request.url().endsWith("/UpdateApp"));
    await press(tab, "Apply");
    await answered;
    await tab.login();
    await field(tab, "Image").waitFor();
    assert.equal(await field(tab, "Image").inputValue(), "busybox:late");
    await panel(tab).getByText("Nothing is changed yet.").waitFor();
    assert.equal(
      await panel(tab)
        .getByText(/^It is at revision/)
        .count(),
      0,
      "the editor begins with what was applied",
    );
  });

  it("a draft of an app that is deleted meanwhile stays, and creates it again; one of a user who loses its rights is not written", async () => {
    await rig.api.createApp({ name: "fleeting", dockerImage: "busybox:1" });
    await rig.api.createUser("ann", PASSWORD, { apps: { fleeting: "rw" } });
    const [tab, losing] = [
      await openEditor(rig, "/ui/apps/fleeting/edit"),
      await openEditor(rig, "/ui/apps/fleeting/edit", { name: "ann", password: PASSWORD }),
    ];
    for (const each of [tab, losing]) await field(each, "Image").fill("busybox:2");
    await press(losing, "Plan");
    await panel(losing).getByText("-> busybox:2").waitFor();
    const userGroup = { name: "ann", apps: { fleeting: "ro" } };
    await rig.api.channel.unary(
      UserGroupService.method.updateUserGroup,
      { userGroup, updateFields: ["apps"] },
      { headers: rig.api.headers, timeoutMs: 10_000 },
    );
    await apply(losing).click();
    await losing.page.getByText("Your rights do not cover this", { exact: true }).waitFor();
    await losing.page.getByText("Your rights do not cover changes of this app any more.").waitFor();
    assert.equal((await rig.api.app("fleeting")).revision, 1n);
    await rig.api.deleteApp("fleeting");
    await tab.page.getByText("The app was deleted meanwhile.").waitFor();
    assert.equal(await field(tab, "Image").inputValue(), "busybox:2");
    await press(tab, "Plan");
    await panel(tab).getByText("app fleeting  created").waitFor();
    await apply(tab).click();
    await tab.page.getByText("fleeting is at revision 3").waitFor();
    assert.equal((await rig.api.app("fleeting")).dockerImage, "busybox:2");
  });
});

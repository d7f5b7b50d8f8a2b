import { strict as assert } from "node:assert";
import type { Locator } from "playwright-core";
import { planName } from "../../common/insight/plan-name.ts";
import { parseResources } from "../../common/resources/parse-resources.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { type App, AppService } from "../../gen/nebula/v1/app_pb.ts";
import { PlanService } from "../../gen/nebula/v1/plan_pb.ts";
import { UserGroupService } from "../../gen/nebula/v1/user_group_pb.ts";
import { UserService } from "../../gen/nebula/v1/user_pb.ts";
import { type DashboardPage, DashboardRig } from "./dashboard-rig.ts";

const PASSWORD = "a password of bob";
const SECRET = "a secret of ours";

/** Presses Tab until the part of this name has the focus. @param most times that it is pressed */
async function tabTo({ page }: DashboardPage, name: string, most = 60): Promise<void> {
  const focused = `(({ activeElement: at }) => at.getAttribute("aria-label") ?? at.labels?.[0]?.innerText ?? at.innerText)(document)`;
  for (let steps = 0; steps < most; steps++) {
    await page.keyboard.press("Tab");
    if ((await page.evaluate(focused)) === name) return;
  }
  assert.fail(`no way by Tab to ${name}`);
}

describe("an empty server in a browser", function () {
  this.timeout(60_000);
  const rig = DashboardRig.describe();

  it("the first app is created by the keyboard alone, and is in the list of apps", async () => {
    const tab = await rig.open("/ui/apps");
    await tab.login();
    await tab.page.getByText("There are no apps that you may see").waitFor();
    await tab.page.goto(`${rig.server.url}/ui/`);
    await tab.page.getByRole("link", { name: "Create an app" }).waitFor();
    const { keyboard } = tab.page;
    await tabTo(tab, "Create an app");
    await keyboard.press("Enter");
    await tab.page.getByRole("textbox", { name: "Name", exact: true }).waitFor();
    await tabTo(tab, "Name");
    await keyboard.type("web");
    await tabTo(tab, "Image");
    await keyboard.type("busybox:1");
    await tabTo(tab, "Containers per");
    await keyboard.press("ArrowDown");
    await tabTo(tab, "Ports");
    await keyboard.type("80\n8443:443");
    await keyboard.press("Control+Enter");
    await tab.page.getByText(/app web +created +revision 1/).waitFor();
    await tabTo(tab, "Apply");
    await keyboard.press("Enter");
    await tab.page.getByText("web is created, at revision 1").waitFor();
    await eventually(async () => assert.match(await tab.page.evaluate("document.activeElement.innerText"), /^web is created/));
    await tabTo(tab, "See how far devices are", 1);
    await tab.page.getByRole("link", { name: "Apps", exact: true }).click();
    const row = tab.page.getByRole("table", { name: "Apps" }).locator("tbody tr[aria-rowindex]");
    await eventually(async () => assert.deepEqual(await row.locator("td").allInnerTexts(), ["web", "busybox:1", "is to run", "1"]));
    const { headers, channel } = rig.api;
    const { app } = await channel.unary(AppService.method.getApp, { name: "web" }, { headers, timeoutMs: 10_000 });
    assert.deepEqual([app?.containersPer?.per, app?.startingPorts.map(({ hostPort }) => hostPort)], [{ case: "cpu", value: 1 }, [80, 8443]]);
    tab.assertNoFaults();
  });

  it("a user who may not create apps is offered none of the ways to", async () => {
    const { headers, channel } = rig.api;
    const call = { headers, timeoutMs: 10_000 };
    await channel.unary(UserService.method.createUser, { name: "bob", password: PASSWORD }, call);
    const userGroup = { name: "readers", groupMembers: ["bob"], apps: { "*": "ro" } };
    await channel.unary(UserGroupService.method.createUserGroup, { userGroup }, call);
    const tab = await rig.open("/ui/apps");
    await tab.login("bob", PASSWORD);
    await tab.page.getByRole("table", { name: "Apps" }).getByText("web").waitFor();
    await tab.page.getByRole("link", { name: "Overview" }).click();
    await tab.page.getByText("Your rights do not cover this: ask an admin.").first().waitFor();
    for (const address of ["/ui/apps", "/ui/apps/nothing", "/ui/"]) {
      await tab.page.goto(`${rig.server.url}${address}`);
      await tab.page.getByRole("heading", { level: 1 }).waitFor();
      await eventually(async () => assert.equal(await tab.page.locator(".loading").count(), 0));
      assert.equal(await tab.page.getByRole("link", { name: /Create an app/ }).count(), 0, address);
    }
  });
});

describe("the editor of an app in a browser", function () {
  this.timeout(90_000);
  const rig = DashboardRig.describe(async ({ api }) => {
    await api.createApp({
      ...{ name: "web", dockerImage: "busybox:1", command: ["sleep", "9"], labels: { shop: "berlin" }, volumes: ["/data:/data"] },
      ...{ envVars: { LEVEL: "debug" }, secretEnvVars: { TOKEN: SECRET } },
    });
    await api.createGroup("pos", ["web"]);
  });
  const call = () => ({ headers: rig.api.headers, timeoutMs: 10_000 });
  const app = async (name: string): Promise<App> => {
    const { app } = await rig.api.channel.unary(AppService.method.getApp, { name }, call());
    return app ?? assert.fail(`there is no app ${name}`);
  };
  const opened = async (address: string, user?: string): Promise<DashboardPage> => {
    const tab = await rig.open(address);
    await (user === undefined ? tab.login() : tab.login(user, PASSWORD));
    return tab;
  };
  const field = ({ page }: DashboardPage, label: string): Locator => page.getByRole("textbox", { name: label, exact: true });
  const press = ({ page }: DashboardPage, name: string): Promise<void> => page.getByRole("button", { name, exact: true }).click();
  const panel = ({ page }: DashboardPage): Locator => page.getByRole("region", { name: "Plan" });
  const apply = ({ page }: DashboardPage): Locator => page.getByRole("button", { name: "Apply", exact: true });
  const user = async (name: string, apps: Record<string, string>): Promise<void> => {
    await rig.api.channel.unary(UserService.method.createUser, { name, password: PASSWORD }, call());
    await rig.api.channel.unary(UserGroupService.method.createUserGroup, { userGroup: { name: `${name}s`, groupMembers: [name], apps } }, call());
  };

  it("an app is created from a form, from its plan, and its change is one link away", async () => {
    const tab = await opened("/ui/create/app");
    await field(tab, "Name").fill("till");
    await field(tab, "Image").fill("busybox:1");
    await field(tab, "Ports").fill("8080:80\n53/udp");
    for (const [index, [name, value]] of Object.entries({ REGION: "eu", PIN: "1234 of till" }).entries()) {
      await press(tab, "Add a variable");
      const focused = "document.activeElement.getAttribute('aria-label')";
      await eventually(async () => assert.equal(await tab.page.evaluate(focused), `Name of variable ${index + 1}`));
      await tab.page.keyboard.type(name);
      await field(tab, `Value of ${name}`).fill(value);
    }
    await tab.page.getByLabel("PIN is secret").check();
    await field(tab, "Image").press("Control+Enter");
    await panel(tab)
      .getByText(/app till +created +revision 1/)
      .waitFor();
    await apply(tab).click();
    await tab.page.getByText("till is created, at revision 1").waitFor();
    const created = await app("till");
    assert.deepEqual([created.dockerImage, created.envVars, Object.keys(created.secretEnvVars)], ["busybox:1", { REGION: "eu" }, ["PIN"]]);
    assert.deepEqual(
      created.startingPorts.map(({ hostPort, containerPort }) => [hostPort, containerPort]),
      [
        [8080, 80],
        [53, 53],
      ],
    );
    assert.ok(!(await tab.page.content()).includes("1234 of till"));
    await tab.page.getByRole("link", { name: "See how far devices are" }).click();
    await tab.page.waitForURL(/\/ui\/changes\/app\/till\/1$/);
    tab.assertNoFaults();
  });

  it("an app that exists is not created over: the plan leads to its editor", async () => {
    const tab = await opened("/ui/create/app?name=web");
    await field(tab, "Image").fill("busybox:9");
    await press(tab, "Plan");
    await panel(tab).getByText("There is an app web already").waitFor();
    assert.ok(await apply(tab).isDisabled());
    tab.page.once("dialog", (dialog) => void dialog.accept());
    await panel(tab).getByRole("link", { name: "edit it" }).click();
    await field(tab, "Image").waitFor();
    assert.equal(await field(tab, "Image").inputValue(), (await app("web")).dockerImage);
    tab.assertNoFaults();
  });

  it("an app is changed by its form; a plan is void once the draft changes, and what the form does not show stays", async () => {
    const tab = await opened("/ui/apps/web");
    await tab.page.getByRole("link", { name: "Edit" }).click();
    await tab.page.getByText("Kept as they are, and edited as YAML: command, labels").waitFor();
    await tab.page.getByText("Nothing is changed yet.").waitFor();
    await field(tab, "Image").fill("busybox:2");
    await press(tab, "Plan");
    await panel(tab).getByText("busybox:1 -> busybox:2").waitFor();
    assert.ok(await apply(tab).isEnabled());
    await field(tab, "Volumes").fill("/data:/data\n/more:/more");
    await panel(tab).getByText("The draft has changed since this plan").waitFor();
    assert.ok(await apply(tab).isDisabled());
    await press(tab, "Plan again");
    await panel(tab).getByText("+ /more:/more").waitFor();
    const before = await app("web");
    await apply(tab).click();
    await tab.page.getByText(`web is at revision ${before.revision + 1n}`).waitFor();
    const { dockerImage, volumes, command, labels, secretEnvVars } = await app("web");
    assert.deepEqual([dockerImage, volumes, command, labels], ["busybox:2", ["/data:/data", "/more:/more"], before.command, before.labels]);
    assert.deepEqual(secretEnvVars, before.secretEnvVars, "the value of the secret is kept, so what stands for it is the same");
    await tab.page.getByText("Nothing is changed yet.").waitFor({ state: "detached" });
    tab.assertNoFaults();
  });

  it("an app is changed as YAML, which the line of nebulactl applies as the same plan", async () => {
    const tab = await opened("/ui/apps/web/edit");
    await press(tab, "YAML");
    const yaml = field(tab, "YAML");
    const text = await yaml.inputValue();
    const shown = await app("web");
    assert.match(text, new RegExp(`secret_env_vars:\\n {2}TOKEN: ${shown.secretEnvVars.TOKEN}\\n`));
    await yaml.fill(`# ours\n${text.replace("LEVEL: debug", "LEVEL: info")}`);
    await press(tab, "Form");
    assert.equal(await field(tab, "Value of LEVEL").inputValue(), "info");
    await press(tab, "YAML");
    assert.match(await yaml.inputValue(), /^# ours\n/);
    await yaml.press("Control+Enter");
    await panel(tab).getByText("LEVEL: debug -> info").waitFor();
    const line = await panel(tab)
      .getByText(/^nebulactl apply -f web\.yaml --plan /)
      .innerText();
    const parsed = parseResources(await yaml.inputValue(), "web.yaml");
    const [resource] = parsed.kind === "resources" ? parsed.resources : assert.fail("nebulactl does not read it");
    assert.ok(resource?.kind === "app");
    const changes = [{ change: { case: "app" as const, value: resource.app } }];
    const plan = await rig.api.channel.unary(PlanService.method.plan, { changes }, call());
    assert.equal(line, `nebulactl apply -f web.yaml --plan ${planName(plan, 8)}`);
    await apply(tab).click();
    await tab.page.getByText(`web is at revision ${shown.revision + 1n}`).waitFor();
    assert.deepEqual([(await app("web")).envVars, (await app("web")).secretEnvVars], [{ LEVEL: "info" }, shown.secretEnvVars]);
    tab.assertNoFaults();
  });

  it("YAML that cannot be read keeps its text, and says why with its line; it is neither planned nor a form", async () => {
    const tab = await opened("/ui/apps/web/edit");
    await press(tab, "YAML");
    const text = "kind: app\nname: web\ndocker_image: busybox:1\nimage: busybox:2\n";
    await field(tab, "YAML").fill(text);
    await tab.page.getByRole("button", { name: "line 4: image: unknown field; use docker_image" }).click();
    const selected = "document.activeElement.value.slice(document.activeElement.selectionStart, document.activeElement.selectionEnd)";
    assert.equal(await tab.page.evaluate(selected), "image: busybox:2");
    await press(tab, "Form");
    await tab.page.getByRole("alert").getByText("line 4: image: unknown field; use docker_image").waitFor();
    await press(tab, "Plan");
    assert.equal(await field(tab, "YAML").inputValue(), text);
    assert.equal(await apply(tab).count(), 0);
    await field(tab, "YAML").fill(text.replace("image: busybox:2\n", ""));
    await press(tab, "Form");
    await field(tab, "Image").waitFor();
    tab.assertNoFaults();
  });

  it("what the server refuses is shown at the plan and at its field, of a form and of YAML", async () => {
    const tab = await opened("/ui/apps/web/edit");
    await field(tab, "Image").fill("");
    await field(tab, "Volumes").fill("data");
    await press(tab, "Plan");
    await panel(tab)
      .getByRole("alert")
      .getByText(/^docker_image: /)
      .waitFor();
    await panel(tab)
      .getByRole("alert")
      .getByText(/^volumes\[0\]: /)
      .waitFor();
    for (const label of ["Image", "Volumes"]) assert.equal(await field(tab, label).getAttribute("aria-invalid"), "true");
    const about = await field(tab, "Image").getAttribute("aria-describedby");
    assert.match(await tab.page.locator(`[id="${about}"]`).innerText(), /docker_image: /);
    await press(tab, "YAML");
    await tab.page.getByRole("button", { name: /^line \d+: volumes\[0\]: / }).waitFor();
    assert.equal(await apply(tab).count(), 0);
  });

  it("a change between the plan and its apply is refused, and taken over by the next plan", async () => {
    const tab = await opened("/ui/apps/web/edit");
    await field(tab, "Image").fill("busybox:3");
    await press(tab, "Plan");
    await panel(tab).getByText("-> busybox:3").waitFor();
    const changed = await rig.api.updateApp("web", { cpus: 2, secretEnvVars: { TOKEN: "another secret" } });
    await apply(tab).click();
    await tab.page.getByText("It was changed meanwhile: nothing was done").waitFor();
    assert.equal((await app("web")).revision, changed.revision);
    await panel(tab).getByText(`It is at revision ${changed.revision} now.`).waitFor();
    await eventually(async () => assert.equal(await tab.page.evaluate("document.activeElement.innerText"), "Plan again"));
    await tab.page.keyboard.press("Enter");
    await panel(tab).getByText(`Revision ${changed.revision} came in between: what you did not touch is as it is there.`).waitFor();
    assert.equal(await field(tab, "Cores per container, at most").inputValue(), "2");
    await panel(tab).getByText("-> busybox:3").waitFor();
    await apply(tab).click();
    await tab.page.getByText(`web is at revision ${changed.revision + 1n}`).waitFor();
    const { dockerImage, cpus, secretEnvVars } = await app("web");
    assert.deepEqual([dockerImage, cpus, secretEnvVars], ["busybox:3", 2, changed.secretEnvVars]);
  });

  it("a secret keeps its value until another one is typed, and begins empty where it becomes plain", async () => {
    const tab = await opened("/ui/apps/web/edit");
    const before = await app("web");
    const value = field(tab, "Value of TOKEN");
    assert.equal(await value.inputValue(), before.secretEnvVars.TOKEN);
    await tab.page.getByLabel("TOKEN is secret").uncheck();
    assert.equal(await value.inputValue(), "");
    await tab.page.getByLabel("TOKEN is secret").check();
    await value.fill("a new secret");
    await press(tab, "Plan");
    await panel(tab).getByText("(a value)").waitFor();
    assert.ok(!(await panel(tab).innerText()).includes("a new secret"));
    await apply(tab).click();
    await tab.page.getByText(`web is at revision ${before.revision + 1n}`).waitFor();
    const { secretEnvVars } = await app("web");
    assert.notEqual(secretEnvVars.TOKEN, before.secretEnvVars.TOKEN);
    assert.equal(await value.inputValue(), secretEnvVars.TOKEN);
    tab.assertNoFaults();
  });

  it("a draft is left after a question alone, by a link, by the browser and by a logout", async () => {
    const tab = await opened("/ui/");
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
    const tab = await opened("/ui/apps/web/edit");
    await field(tab, "Image").fill("busybox:draft");
    await tab.page.context().clearCookies();
    await tab.page.getByText("Your login ended").waitFor();
    await tab.login();
    await field(tab, "Image").waitFor();
    assert.equal(await field(tab, "Image").inputValue(), "busybox:draft");
  });

  it("a draft that is applied while its login ends is kept no longer", async () => {
    const tab = await opened("/ui/apps/web/edit");
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

  it("an editor whose script does not arrive says so, and is there when the page is loaded again", async () => {
    const tab = await opened("/ui/apps/web");
    const edit = tab.page.getByRole("link", { name: "Edit" });
    await edit.waitFor();
    await tab.page.route(/\/ui\/assets\/.*\.js$/, (route) => route.abort());
    await edit.click();
    await tab.page.getByRole("alert").getByText("The editor could not be loaded").waitFor();
    await tab.page.unroute(/\/ui\/assets\/.*\.js$/);
    await press(tab, "Load the page again");
    await field(tab, "Image").waitFor();
  });

  it("a user without rw on an app is offered no editor, and one without the right to a name no write of it", async () => {
    await user("ro", { web: "ro" });
    const reader = await opened("/ui/apps/web", "ro");
    await reader.page.getByRole("region", { name: "Specification" }).waitFor();
    assert.equal(await reader.page.getByRole("link", { name: "Edit" }).count(), 0);
    await reader.page.goto(`${rig.server.url}/ui/apps/web/edit`);
    await reader.page.getByText("Your rights do not cover changes of this app").waitFor();
    assert.equal(await field(reader, "Image").count(), 0);
    reader.assertNoFaults();
    await user("team", { "team-*": "rw", "shared-*": "ro" });
    const writer = await opened("/ui/create/app?name=shared-1", "team");
    await field(writer, "Image").fill("busybox:1");
    await press(writer, "Plan");
    await panel(writer).getByText("Your rights do not cover this change: it needs rw on the app shared-1.").waitFor();
    assert.ok(await apply(writer).isDisabled());
    await field(writer, "Name").fill("team-1");
    await press(writer, "Plan again");
    await panel(writer).getByText("app team-1  created").waitFor();
    await apply(writer).click();
    await writer.page.getByText("team-1 is created, at revision 1").waitFor();
    writer.assertNoFaults();
  });

  it("a draft of an app that is deleted meanwhile stays, and creates it again; one of a user who loses its rights is not written", async () => {
    await rig.api.createApp({ name: "fleeting", dockerImage: "busybox:1" });
    await user("ann", { fleeting: "rw" });
    const [tab, losing] = [await opened("/ui/apps/fleeting/edit"), await opened("/ui/apps/fleeting/edit", "ann")];
    for (const each of [tab, losing]) await field(each, "Image").fill("busybox:2");
    await press(losing, "Plan");
    await panel(losing).getByText("-> busybox:2").waitFor();
    const userGroup = { name: "anns", apps: { fleeting: "ro" } };
    await rig.api.channel.unary(UserGroupService.method.updateUserGroup, { userGroup, updateFields: ["apps"] }, call());
    await apply(losing).click();
    await losing.page.getByText("Your rights do not cover this", { exact: true }).waitFor();
    await losing.page.getByText("Your rights do not cover changes of this app any more.").waitFor();
    assert.equal((await app("fleeting")).revision, 1n);
    await rig.api.deleteApp("fleeting");
    await tab.page.getByText("The app was deleted meanwhile.").waitFor();
    assert.equal(await field(tab, "Image").inputValue(), "busybox:2");
    await press(tab, "Plan");
    await panel(tab).getByText("app fleeting  created").waitFor();
    await apply(tab).click();
    await tab.page.getByText("fleeting is at revision 3").waitFor();
    assert.equal((await app("fleeting")).dockerImage, "busybox:2");
  });

  it("an app that was deleted is created again from its page", async () => {
    await rig.api.createApp({ name: "gone", dockerImage: "busybox:1" });
    await rig.api.deleteApp("gone");
    const tab = await opened("/ui/apps/gone");
    await tab.page.getByRole("link", { name: "Create an app gone" }).click();
    await field(tab, "Image").waitFor();
    assert.equal(await field(tab, "Name").inputValue(), "gone");
    await field(tab, "Image").fill("busybox:1");
    await press(tab, "Plan");
    await apply(tab).click();
    await tab.page.getByText("gone is created, at revision 3").waitFor();
  });
});

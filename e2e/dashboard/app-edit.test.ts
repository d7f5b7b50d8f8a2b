import { strict as assert } from "node:assert";
import { planName } from "../../common/insight/plan-name.ts";
import { parseResources } from "../../common/resources/parse-resources.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { PlanService } from "../../gen/nebula/v1/plan_pb.ts";
import { apply, field, openEditor, panel, press } from "./app-editor.ts";
import { DashboardRig } from "./dashboard-rig.ts";
import { Keyboard } from "./keyboard.ts";

const PASSWORD = "a password of bob";
const SECRET = "a secret of ours";
/** Presses of Tab that lead to any part of the page. */
const MOST_STOPS = 60;

describe("an empty server in a browser", function () {
  this.timeout(60_000);
  const rig = DashboardRig.describe();

  it("the first app is created by the keyboard alone, and is in the list of apps", async () => {
    const tab = await rig.open("/ui/apps");
    await tab.login();
    await tab.page.getByText("There are no apps that you may see").waitFor();
    await tab.page.goto(`${rig.server.url}/ui/`);
    await tab.page.getByRole("link", { name: "Create an app" }).waitFor();
    const keyboard = new Keyboard(tab.page, MOST_STOPS);
    await keyboard.activate("link", "Create an app");
    await tab.page.getByRole("textbox", { name: "Name", exact: true }).waitFor();
    await keyboard.fill("Name", "web");
    await keyboard.fill("Image", "busybox:1");
    await keyboard.reach(tab.page.getByRole("combobox", { name: "Containers per", exact: true }));
    await keyboard.press("ArrowDown");
    await keyboard.fill("Ports", "80\n8443:443");
    await keyboard.press("Control+Enter");
    await tab.page.getByText(/app web +created +revision 1/).waitFor();
    await keyboard.activate("button", "Apply");
    await tab.page.getByText("web is created, at revision 1").waitFor();
    await eventually(async () => assert.match(await tab.page.evaluate("document.activeElement.innerText"), /^web is created/));
    await keyboard.press("Tab");
    assert.ok(await keyboard.isAt(tab.page.getByRole("link", { name: "See how far devices are", exact: true })));
    await tab.page.getByRole("link", { name: "Apps", exact: true }).click();
    const row = tab.page.getByRole("table", { name: "Apps" }).locator("tbody tr[aria-rowindex]");
    await eventually(async () => assert.deepEqual(await row.locator("td").allInnerTexts(), ["web", "busybox:1", "is to run", "1"]));
    const app = await rig.api.app("web");
    assert.deepEqual([app.containersPer?.per, app.startingPorts.map(({ hostPort }) => hostPort)], [{ case: "cpu", value: 1 }, [80, 8443]]);
    tab.assertNoFaults();
  });

  it("a user who may not create apps is offered none of the ways to", async () => {
    await rig.api.createUser("bob", PASSWORD, { apps: { "*": "ro" } });
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

  it("an app is created from a form, from its plan, and its change is one link away", async () => {
    const tab = await openEditor(rig, "/ui/create/app");
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
    const created = await rig.api.app("till");
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
    const tab = await openEditor(rig, "/ui/create/app?name=web");
    await field(tab, "Image").fill("busybox:9");
    await press(tab, "Plan");
    await panel(tab).getByText("There is an app web already").waitFor();
    assert.ok(await apply(tab).isDisabled());
    tab.page.once("dialog", (dialog) => void dialog.accept());
    await panel(tab).getByRole("link", { name: "edit it" }).click();
    await field(tab, "Image").waitFor();
    assert.equal(await field(tab, "Image").inputValue(), (await rig.api.app("web")).dockerImage);
    tab.assertNoFaults();
  });

  it("an app is changed by its form; a plan is void once the draft changes, and what the form does not show stays", async () => {
    const tab = await openEditor(rig, "/ui/apps/web");
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
    const before = await rig.api.app("web");
    await apply(tab).click();
    await tab.page.getByText(`web is at revision ${before.revision + 1n}`).waitFor();
    const { dockerImage, volumes, command, labels, secretEnvVars } = await rig.api.app("web");
    assert.deepEqual([dockerImage, volumes, command, labels], ["busybox:2", ["/data:/data", "/more:/more"], before.command, before.labels]);
    assert.deepEqual(secretEnvVars, before.secretEnvVars, "the value of the secret is kept, so what stands for it is the same");
    await tab.page.getByText("Nothing is changed yet.").waitFor({ state: "detached" });
    tab.assertNoFaults();
  });

  it("an app is changed as YAML, which the line of nebulactl applies as the same plan", async () => {
    const tab = await openEditor(rig, "/ui/apps/web/edit");
    await press(tab, "YAML");
    const yaml = field(tab, "YAML");
    const text = await yaml.inputValue();
    const shown = await rig.api.app("web");
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
    const plan = await rig.api.channel.unary(PlanService.method.plan, { changes }, { headers: rig.api.headers, timeoutMs: 10_000 });
    assert.equal(line, `nebulactl apply -f web.yaml --plan ${planName(plan, 8)}`);
    await apply(tab).click();
    await tab.page.getByText(`web is at revision ${shown.revision + 1n}`).waitFor();
    assert.deepEqual([(await rig.api.app("web")).envVars, (await rig.api.app("web")).secretEnvVars], [{ LEVEL: "info" }, shown.secretEnvVars]);
    tab.assertNoFaults();
  });

  it("YAML that cannot be read keeps its text, and says why with its line; it is neither planned nor a form", async () => {
    const tab = await openEditor(rig, "/ui/apps/web/edit");
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
    const tab = await openEditor(rig, "/ui/apps/web/edit");
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

  it("a secret keeps its value until another one is typed, and begins empty where it becomes plain", async () => {
    const tab = await openEditor(rig, "/ui/apps/web/edit");
    const before = await rig.api.app("web");
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
    const { secretEnvVars } = await rig.api.app("web");
    assert.notEqual(secretEnvVars.TOKEN, before.secretEnvVars.TOKEN);
    assert.equal(await value.inputValue(), secretEnvVars.TOKEN);
    tab.assertNoFaults();
  });

  it("an editor whose script does not arrive says so, and is there when the page is loaded again", async () => {
    const tab = await openEditor(rig, "/ui/apps/web");
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
    await rig.api.createUser("ro", PASSWORD, { apps: { web: "ro" } });
    const reader = await openEditor(rig, "/ui/apps/web", { name: "ro", password: PASSWORD });
    await reader.page.getByRole("region", { name: "Specification" }).waitFor();
    assert.equal(await reader.page.getByRole("link", { name: "Edit" }).count(), 0);
    await reader.page.goto(`${rig.server.url}/ui/apps/web/edit`);
    await reader.page.getByText("Your rights do not cover changes of this app").waitFor();
    assert.equal(await field(reader, "Image").count(), 0);
    reader.assertNoFaults();
    await rig.api.createUser("team", PASSWORD, { apps: { "team-*": "rw", "shared-*": "ro" } });
    const writer = await openEditor(rig, "/ui/create/app?name=shared-1", { name: "team", password: PASSWORD });
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

  it("an app that was deleted is created again from its page", async () => {
    await rig.api.createApp({ name: "gone", dockerImage: "busybox:1" });
    await rig.api.deleteApp("gone");
    const tab = await openEditor(rig, "/ui/apps/gone");
    await tab.page.getByRole("link", { name: "Create an app gone" }).click();
    await field(tab, "Image").waitFor();
    assert.equal(await field(tab, "Name").inputValue(), "gone");
    await field(tab, "Image").fill("busybox:1");
    await press(tab, "Plan");
    await apply(tab).click();
    await tab.page.getByText("gone is created, at revision 3").waitFor();
  });
});

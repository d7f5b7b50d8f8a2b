import { strict as assert } from "node:assert";
import { eventually } from "../../common/testing/eventually.ts";
import { AppService } from "../../gen/nebula/v1/app_pb.ts";
import { DashboardRig } from "./dashboard-rig.ts";

const DEVICES = 2;
const PASSWORD = "a password of bob";
const HOSTILE = `<img src=x onerror="boom()">`;

describe("an app in a browser", function () {
  this.timeout(90_000);
  const rig = DashboardRig.describe(async ({ api }) => {
    await api.createApp({
      ...{ name: "web", dockerImage: "busybox:1", envVars: { MARKUP: HOSTILE, MARK: "\u202ereversed" } },
      ...{ secretEnvVars: { TOKEN: "a secret of ours" }, startingPorts: [{ hostPort: 8080, containerPort: 80 }] },
    });
    await api.createApp({ name: "alone", dockerImage: "busybox:1" });
    await api.createGroup("pos", ["web"]);
  });
  before(async function () {
    this.timeout(60_000);
    await rig.devices("pos", DEVICES);
    await rig.api.reported("pos-1");
    await rig.api.updateApp("web", { dockerImage: "busybox:2" });
    await rig.api.updateApp("web", { dockerImage: "busybox:3", envVars: { MARKUP: HOSTILE, LEVEL: "debug" } });
  });
  const call = () => ({ headers: rig.api.headers, timeoutMs: 10_000 });
  const app = async () => {
    const { app } = await rig.api.channel.unary(AppService.method.getApp, { name: "web" }, call());
    return app ?? assert.fail("there is no app web");
  };

  it("an app shows what it is in words, secrets as the API masks them, markup as text, and where it runs", async () => {
    const tab = await rig.open("/ui/apps/web");
    await tab.login();
    const specification = tab.page.getByRole("region", { name: "Specification" });
    await specification.getByText("8080 to 80").waitFor();
    const { secretEnvVars } = await app();
    await specification.getByText(`TOKEN=${secretEnvVars.TOKEN}`).waitFor();
    await specification.getByText(`MARKUP=${HOSTILE}`).waitFor();
    assert.equal(await tab.page.locator("main img").count(), 0);
    assert.equal(await tab.page.getByText("a secret of ours").count(), 0);
    const places = tab.page.getByRole("table", { name: "Groups" });
    await eventually(async () => assert.deepEqual((await places.locator("tbody td").allInnerTexts()).slice(0, 2), ["pos", String(DEVICES)]));
    tab.assertNoFaults();
  });

  it("two revisions of the address are compared field by field, marks of direction shown as text", async () => {
    const tab = await rig.open("/ui/apps/web?from=3&to=1");
    await tab.login();
    const rows = tab.page.getByRole("table", { name: "Fields that differ" }).locator("tr");
    const differ = async () => (await rows.allInnerTexts()).map((row) => row.replace(/\s+/g, " ").trim());
    await rows.first().waitFor();
    assert.deepEqual(await differ(), ["docker_image busybox:3 -> busybox:1", "env_vars - LEVEL", "+ MARK=\\u202ereversed"]);
    const display = "getComputedStyle(document.querySelector('table[aria-label=\"Fields that differ\"]')).display";
    assert.equal(await tab.page.evaluate(display), "table", "names of fields and their changes are in columns");
    await tab.page.getByLabel("From revision").fill("2");
    await tab.page.getByLabel("From revision").blur();
    await eventually(async () => assert.deepEqual(await differ(), ["docker_image busybox:2 -> busybox:1"]));
    assert.match(tab.page.url(), /\?from=2&to=1$/);
    tab.assertNoFaults();
  });

  it("a rollback shows its plan first, is refused when the app was changed since, and is planned again", async () => {
    const tab = await rig.open("/ui/apps/web");
    await tab.login();
    await tab.page.getByRole("button", { name: "Roll back to revision 1" }).click();
    const dialog = tab.page.getByRole("dialog", { name: "Roll web back to revision 1" });
    await dialog.getByText("docker_image  busybox:3 -> busybox:1").waitFor();
    await dialog.getByText(/reaches 2 devices in 1 device_group/).waitFor();
    await dialog.getByText("nebulactl rollback app/web --to 1").waitFor();
    const { revision } = await rig.api.updateApp("web", { dockerImage: "busybox:4" });
    await dialog.getByRole("button", { name: "Roll back", exact: true }).click();
    await dialog.getByText("It was changed meanwhile: nothing was done").waitFor();
    assert.deepEqual([(await app()).revision, (await app()).dockerImage], [revision, "busybox:4"]);
    await dialog.getByRole("button", { name: "Plan again" }).click();
    await dialog.getByText("docker_image  busybox:4 -> busybox:1").waitFor();
    await dialog.getByRole("button", { name: "Roll back", exact: true }).click();
    await dialog.getByText(`web is at revision ${revision + 1n}, as revision 1 was.`).waitFor();
    assert.equal((await app()).dockerImage, "busybox:1");
    await dialog.getByRole("button", { name: "Close" }).click();
    await tab.page.getByRole("table", { name: "History" }).getByText("rollback", { exact: true }).waitFor();
  });

  it("a rollback keeps secret values unless it is asked to bring them back, by another plan with its own line", async () => {
    const appOf = async () =>
      (await rig.api.channel.unary(AppService.method.getApp, { name: "safe" }, call())).app ?? assert.fail("there is no app safe");
    await rig.api.createApp({ name: "safe", dockerImage: "busybox:1", secretEnvVars: { TOKEN: "the first value" } });
    const first = (await appOf()).secretEnvVars.TOKEN;
    await rig.api.updateApp("safe", { secretEnvVars: { TOKEN: "the second value" } });
    const second = (await appOf()).secretEnvVars.TOKEN;
    assert.notEqual(first, second);
    const tab = await rig.open("/ui/apps/safe");
    await tab.login();
    await tab.page.getByRole("button", { name: "Roll back to revision 1" }).click();
    const dialog = tab.page.getByRole("dialog", { name: "Roll safe back to revision 1" });
    await dialog.getByText("as they are today: secret_env_vars TOKEN").waitFor();
    await dialog.getByText("nebulactl rollback app/safe --to 1", { exact: true }).waitFor();
    assert.equal(await dialog.getByRole("button", { name: "Roll back", exact: true }).count(), 0, "nothing else differs");
    await dialog.getByLabel("Bring the older values of secret_env_vars back, too").focus();
    await tab.page.keyboard.press("Space");
    await dialog.getByText("nebulactl rollback app/safe --to 1 --secrets", { exact: true }).waitFor();
    await dialog.getByText(`TOKEN: ${second} -> ${first}`).waitFor();
    await eventually(async () => assert.equal(await tab.page.evaluate("document.activeElement.type"), "checkbox", "the focus stays"));
    await dialog.getByRole("button", { name: "Roll back", exact: true }).click();
    await dialog.getByText("safe is at revision 3, as revision 1 was.").waitFor();
    assert.equal((await appOf()).secretEnvVars.TOKEN, first);
    assert.equal(await tab.page.getByText("the first value").count(), 0);
    tab.assertNoFaults();
  });

  it("an app is stopped, started and restarted from a plan, each beside its line of nebulactl", async () => {
    const tab = await rig.open("/ui/apps/web");
    await tab.login();
    for (const [verb, isRunning] of [
      ["Stop", false],
      ["Start", true],
      ["Restart", true],
    ] as const) {
      const { revision } = await app();
      await tab.page.getByRole("button", { name: verb, exact: true }).click();
      const dialog = tab.page.getByRole("dialog", { name: `${verb} web` });
      await dialog.getByText(`revision ${revision} -> ${revision + 1n}`).waitFor();
      await dialog.getByText(`nebulactl apps ${verb.toLowerCase()} web --if-revision ${revision}`).waitFor();
      await dialog.getByRole("button", { name: verb, exact: true }).click();
      await dialog.getByText(`web is at revision ${revision + 1n}.`).waitFor();
      assert.equal((await app()).running, isRunning);
      await dialog.getByRole("button", { name: "Close" }).click();
      await tab.page.getByText(isRunning ? "is to run" : "is stopped", { exact: true }).waitFor();
    }
    tab.assertNoFaults();
  });

  it("a dialog shows the line of nebulactl for the revision that its plan was made from, where the view is older", async () => {
    const tab = await rig.open("/ui/apps/web");
    await tab.login();
    const restart = tab.page.getByRole("button", { name: "Restart", exact: true });
    await restart.waitFor();
    await tab.page.route(/\/GetApp$/, (route) => route.abort());
    const { revision } = await rig.api.updateApp("web", { dockerImage: "busybox:5" });
    await restart.click();
    const dialog = tab.page.getByRole("dialog", { name: "Restart web" });
    await dialog.getByText(`revision ${revision} -> ${revision + 1n}`).waitFor();
    await dialog.getByText(`nebulactl apps restart web --if-revision ${revision}`, { exact: true }).waitFor();
  });

  it("a dialog stays while its action is sent, and says that it failed", async () => {
    const tab = await rig.open("/ui/apps/web");
    await tab.login();
    const [sent, held] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    await tab.page.route(/\/RestartApp$/, async (route) => {
      sent.resolve();
      await held.promise;
      await route.abort();
    });
    await tab.page.getByRole("button", { name: "Restart", exact: true }).click();
    const dialog = tab.page.getByRole("dialog", { name: "Restart web" });
    await dialog.getByRole("button", { name: "Restart", exact: true }).click();
    await sent.promise;
    for (let time = 1; time <= 2; time++) await tab.page.keyboard.press("Escape");
    await tab.page.mouse.click(5, 5);
    assert.ok(await dialog.getByRole("button", { name: "Cancel" }).isDisabled());
    held.resolve();
    await dialog.getByRole("alert").getByText("Whether it was done is not certain").waitFor();
    await tab.page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
  });

  it("a plan that gets no answer says that nothing was done, and is made again", async () => {
    const tab = await rig.open("/ui/apps/web");
    await tab.login();
    await tab.page.route(/\/Plan$/, (route) => route.abort(), { times: 1 });
    await tab.page.getByRole("button", { name: "Restart", exact: true }).click();
    const dialog = tab.page.getByRole("dialog", { name: "Restart web" });
    await dialog.getByRole("alert").getByText("Nothing was done").waitFor();
    await dialog.getByRole("button", { name: "Plan again" }).click();
    await dialog.getByText(/^nebulactl apps restart web --if-revision \d+$/).waitFor();
  });

  it("a view that is opened reads each of its answers once", async () => {
    const tab = await rig.open();
    await tab.login();
    // without the reads of every 5 s
    await tab.page.context().addInitScript(`{
      const later = setTimeout;
      window.setTimeout = (run, ms, ...rest) => (ms >= 5000 ? 0 : later(run, ms, ...rest));
    }`);
    const calls: string[] = [];
    tab.page.on("request", (request) => calls.push(new URL(request.url()).pathname.split("/").at(-1) ?? ""));
    await tab.page.goto(`${rig.server.url}/ui/apps/web`);
    await tab.page.getByRole("region", { name: "Specification" }).waitFor();
    await tab.page.getByRole("table", { name: "History" }).locator("tbody tr[aria-rowindex]").first().waitFor();
    const timesOf = (method: string) => calls.filter((call) => call === method).length;
    // when the effects of the first drawing ran
    await tab.page.evaluate("new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))");
    assert.deepEqual([timesOf("GetApp"), timesOf("ListRevisions")], [1, 1]);
    tab.assertNoFaults();
  });

  it("on a window of 360 px what can be done with a revision is in view", async () => {
    const tab = await rig.open("/ui/apps/web", { viewport: { width: 360, height: 1600 } });
    await tab.login();
    const box = await tab.page.getByRole("button", { name: "Roll back to revision 2" }).boundingBox();
    assert.ok(box !== null && box.x >= 0 && box.x + box.width <= 360, JSON.stringify(box));
    tab.assertNoFaults();
  });

  it("the rows of a table are drawn when what stands above it goes, without a scroll", async () => {
    const tab = await rig.open("/ui/apps/web");
    await tab.login();
    const rows = tab.page.getByRole("table", { name: "History" }).locator("tbody tr[aria-rowindex]");
    await rows.first().waitFor();
    await tab.page.evaluate("spacer = document.createElement('div'); spacer.style.height = '5000px'; document.body.prepend(spacer); scrollBy(0, 10)");
    await eventually(async () => assert.equal(await rows.count(), 0, "they are far below the window"));
    // at the top of the page a browser scrolls nothing by itself when the spacer goes
    await tab.page.evaluate("scrollTo(0, 0); requestAnimationFrame(() => requestAnimationFrame(() => spacer.remove()))");
    await rows.first().waitFor();
    tab.assertNoFaults();
  });

  it("a user who may only read an app is offered none of its actions", async () => {
    await rig.api.createUser("bob", PASSWORD, { apps: { web: "ro" } });
    const tab = await rig.open("/ui/apps/web");
    await tab.login("bob", PASSWORD);
    await tab.page.getByRole("link", { name: "Changes" }).first().waitFor();
    await tab.page.getByRole("region", { name: "Specification" }).waitFor();
    for (const action of [/^Stop/, /^Start/, /^Restart/, /^Roll back/]) assert.equal(await tab.page.getByRole("button", { name: action }).count(), 0);
    tab.assertNoFaults();
  });

  it("an app that no group runs says the first thing to do, and one that is not there how it comes back", async () => {
    const tab = await rig.open("/ui/apps/alone");
    await tab.login();
    await tab.page.getByText("nebulactl device-groups update GROUP --apps alone").waitFor();
    tab.assertNoFaults();
    await rig.api.deleteApp("alone");
    await tab.page.goto(`${rig.server.url}/ui/apps/alone`);
    await tab.page.getByText("There is no such app").waitFor();
    await tab.page.getByText("nebulactl rollback app/alone", { exact: true }).waitFor();
    await tab.page.getByRole("table", { name: "History" }).getByText("delete", { exact: true }).waitFor();
  });
});

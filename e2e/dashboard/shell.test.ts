import { strict as assert } from "node:assert";
import { eventually } from "../../common/testing/eventually.ts";
import { UserService } from "../../gen/nebula/v1/user_pb.ts";
import { DashboardRig } from "./dashboard-rig.ts";

const GROUP = "a-group-with-quite-a-long-name-of-its-own";
const PASSWORD = "a password of bob";

describe("the frame of the dashboard in a browser", function () {
  this.timeout(90_000);
  const rig = DashboardRig.describe(async ({ api }) => {
    await api.createApp({ name: "web", dockerImage: "busybox:1" });
    await api.createGroup(GROUP, ["web"]);
  });

  it("a wrong password is refused with its reason, and a login returns to the address that was asked for", async () => {
    const tab = await rig.open("/ui/devices?state=failed");
    await tab.page.getByLabel("User").fill("admin");
    await tab.page.getByLabel("Password").fill("not the password");
    await tab.page.getByRole("button", { name: "Log in" }).click();
    await tab.page.getByRole("alert").getByText("wrong user or password").waitFor();
    await tab.login();
    await tab.page.getByRole("heading", { name: "Devices" }).waitFor();
    assert.match(tab.page.url(), /\/ui\/devices\?state=failed$/);
    tab.assertNoFaults();
  });

  it("a logout ends the session for all tabs, and shows the form", async () => {
    const tab = await rig.open();
    await tab.login();
    await tab.page.getByRole("button", { name: "Log out" }).click();
    await tab.page.getByRole("button", { name: "Log in" }).waitFor();
    assert.equal((await tab.page.context().cookies()).length, 0);
    await tab.page.reload();
    await tab.page.getByRole("button", { name: "Log in" }).waitFor();
  });

  it("links change the view and the title without loading the page again, and Back returns", async () => {
    const tab = await rig.open();
    await tab.login();
    let loads = 0;
    tab.page.on("load", () => loads++);
    await tab.page.getByRole("navigation").getByRole("link", { name: "Devices" }).click();
    await tab.page.getByRole("heading", { name: "Devices", exact: true }).waitFor();
    assert.equal(await tab.page.title(), "Devices · Nebula");
    assert.equal(await tab.page.evaluate("document.activeElement.tagName"), "H1", "a screen reader says which view is shown");
    await tab.page.goBack();
    await tab.page.getByRole("heading", { name: "Overview", exact: true }).waitFor();
    await tab.page.evaluate("history.pushState(null, '', '/ui/nothing'); dispatchEvent(new PopStateEvent('popstate'))");
    await tab.page.getByRole("heading", { name: "There is no such view" }).waitFor();
    assert.equal(loads, 0);
    tab.assertNoFaults();
  });

  it("the heading of a view has the focus before its data arrive, and after", async () => {
    const tab = await rig.open();
    await tab.login();
    const held = Promise.withResolvers<void>();
    await tab.page.route(/\/(GetDeviceGroup|GetApp)$/, async (route) => {
      await held.promise;
      await route.continue();
    });
    const focused = () => tab.page.evaluate("`${document.activeElement.tagName} ${document.activeElement.textContent}`");
    await tab.page.getByRole("table", { name: "Device groups" }).getByRole("link", { name: GROUP, exact: true }).click();
    await eventually(async () => assert.equal(await focused(), `H1 ${GROUP}`));
    held.resolve();
    const app = tab.page.getByRole("table", { name: "Members" }).getByRole("link", { name: "web" });
    await app.waitFor();
    assert.equal(await focused(), `H1 ${GROUP}`);
    await app.click();
    await tab.page.getByRole("region", { name: "Specification" }).waitFor();
    await eventually(async () => assert.equal(await focused(), "H1 web"));
    tab.assertNoFaults();
  });

  it("the link to the content puts the focus there, and the view stays", async () => {
    const tab = await rig.open("/ui/devices?state=failed");
    await tab.login();
    await tab.page.getByRole("link", { name: "Skip to the content" }).press("Enter");
    await eventually(async () => assert.equal(await tab.page.evaluate("document.activeElement.id"), "main"));
    await tab.page.getByRole("heading", { name: "Devices", exact: true }).waitFor();
    assert.match(tab.page.url(), /\/ui\/devices\?state=failed#main$/);
    tab.assertNoFaults();
  });

  it("a tab whose browser another user logged in from another tab shows that user", async () => {
    const { channel, headers } = rig.api;
    await channel.unary(UserService.method.createUser, { name: "bob", password: PASSWORD }, { headers, timeoutMs: 10_000 });
    const tab = await rig.open();
    await tab.login();
    assert.equal(await tab.page.locator(".who-name").innerText(), "admin");
    const other = await tab.page.context().newPage();
    await other.goto(`${rig.server.url}/ui/`);
    const request = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ user: "bob", password: PASSWORD }) };
    assert.equal(await other.evaluate(`fetch("/ui/login", ${JSON.stringify(request)}).then(({ status }) => status)`), 200);
    for (const page of [tab.page, other]) await page.locator(".who-name").getByText("bob", { exact: true }).waitFor();
  });

  for (const colorScheme of ["light", "dark"] as const) {
    for (const width of [360, 1440, 3000]) {
      it(`no view is wider than a window of ${width} px, in ${colorScheme} colours`, async () => {
        const tab = await rig.open("/ui/", { colorScheme, viewport: { width, height: 900 } });
        await tab.login();
        for (const path of ["/ui/", "/ui/devices", "/ui/apps/web", `/ui/groups/${GROUP}`]) {
          await tab.page.goto(`${rig.server.url}${path}`);
          await tab.page.getByRole("heading").first().waitFor();
          await eventually(async () => assert.equal(await tab.page.locator(".loading").count(), 0));
          assert.equal(await tab.page.evaluate("document.documentElement.scrollWidth"), width, path);
        }
        tab.assertNoFaults();
      });
    }
  }

  it("a dialog closes by Escape, and gives the focus back", async () => {
    const tab = await rig.open();
    await tab.login();
    await tab.page.getByRole("button", { name: "Keyboard" }).press("Enter");
    await tab.page.getByRole("dialog", { name: "Keyboard" }).waitFor();
    await tab.page.keyboard.press("Escape");
    await tab.page.getByRole("dialog").waitFor({ state: "detached" });
    await eventually(async () => assert.equal(await tab.page.evaluate("document.activeElement.textContent"), "Keyboard"));
    tab.assertNoFaults();
  });

  it("tabs of a browser share one worker for their streams, and ask for none themselves", async () => {
    const tab = await rig.open();
    await tab.login();
    const streamsOfTabs: string[] = [];
    tab.page.context().on("request", (request) => {
      if (request.url().includes("/WatchOverview")) streamsOfTabs.push(request.url());
    });
    const other = await tab.page.context().newPage();
    for (const page of [tab.page, other]) {
      await page.goto(`${rig.server.url}/ui/`);
      await page.getByText("a-group-with-quite").first().waitFor();
    }
    await rig.api.createGroup("new-while-shown", []);
    for (const page of [tab.page, other])
      await page.getByRole("table", { name: "Device groups" }).getByRole("link", { name: "new-while-shown", exact: true }).waitFor();
    assert.deepEqual(streamsOfTabs, []);
    await rig.api.deleteGroup("new-while-shown");
  });

  it("a browser without a shared worker has a stream of its own in the tab", async () => {
    const tab = await rig.open();
    await tab.page.context().addInitScript("delete window.SharedWorker");
    const stream = tab.page.waitForRequest(/\/WatchOverview$/);
    await tab.page.reload();
    await tab.login();
    await stream;
    await rig.api.createGroup("seen-by-a-stream", []);
    await tab.page.getByRole("table", { name: "Device groups" }).getByRole("link", { name: "seen-by-a-stream", exact: true }).waitFor();
    await rig.api.deleteGroup("seen-by-a-stream");
    tab.assertNoFaults();
  });

  it("a browser that cannot load the program of the shared worker has a stream of its own in the tab", async () => {
    const tab = await rig.open();
    const stream = tab.page.waitForRequest(/\/WatchOverview$/);
    await tab.page
      .context()
      .addInitScript("window.SharedWorker = class extends SharedWorker { constructor(url, options) { super(`${url}.absent.js`, options) } }");
    await tab.page.reload();
    await tab.login();
    await stream;
    await rig.api.createGroup("seen-without-a-worker", []);
    await tab.page.getByRole("table", { name: "Device groups" }).getByRole("link", { name: "seen-without-a-worker", exact: true }).waitFor();
    await rig.api.deleteGroup("seen-without-a-worker");
  });

  it("while the server is unreachable the page keeps what it shows, says so with its age, and recovers by itself", async () => {
    const tab = await rig.open();
    await tab.login();
    await tab.page.getByText("a-group-with-quite").first().waitFor();
    await rig.server.stop();
    await tab.page.getByRole("alert").getByText("The server does not answer").waitFor();
    assert.match(await tab.page.locator(".unreachable").innerText(), /as of \d+ (s|min) ago/);
    assert.equal(await tab.page.getByRole("alert").innerText(), "The server does not answer.", "a screen reader would speak an age each second");
    assert.ok(await tab.page.getByText("a-group-with-quite").first().isVisible());
    await rig.server.startAgain();
    await tab.page.getByRole("alert").waitFor({ state: "detached" });
    await rig.api.createGroup("after-the-restart", []);
    await tab.page.getByRole("table", { name: "Device groups" }).getByRole("link", { name: "after-the-restart", exact: true }).waitFor();
    await eventually(() =>
      assert.deepEqual(
        tab.faults.filter((fault) => /^(script|other origin)/.test(fault)),
        [],
      ),
    );
  });
});

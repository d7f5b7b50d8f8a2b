import { strict as assert } from "node:assert";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { BrowserContext, Page } from "playwright-core";
import { eventually } from "../../common/testing/eventually.ts";
import { AccessService } from "../../gen/nebula/v1/access_pb.ts";
import { AppService } from "../../gen/nebula/v1/app_pb.ts";
import { AuditService } from "../../gen/nebula/v1/audit_pb.ts";
import { DashboardRig } from "./dashboard-rig.ts";

/** Never in an answer to another origin. */
const VALUE = "a value of the app that nobody else reads";

/** Sites of the attacker: another port of the same host, where a browser sends a cookie that is SameSite=Strict, too; and another host. */
const SITES = ["127.0.0.1", "localhost"] as const;

const GET_APP = `/nebula.v1.AppService/GetApp?connect=v1&encoding=json&message=${encodeURIComponent('{"name":"web"}')}`;
const DELETE_APP = "/nebula.v1.AppService/DeleteApp";
const APP = '{"name":"web"}';

describe("a page of another origin, in the browser of a user who is logged in to the dashboard", function () {
  this.timeout(90_000);
  const rig = DashboardRig.describe(async ({ api }) => {
    await api.createApp({ name: "web", dockerImage: "busybox:1", envVars: { SHOWN: VALUE } });
    await api.createGroup("pos", ["web"]);
  });
  let port: number;
  before(async () => {
    const server = createServer((_, response) => void response.setHeader("content-type", "text/html").end("<title>win a prize</title>"));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    port = (server.address() as AddressInfo).port;
    rig.use({
      async [Symbol.asyncDispose]() {
        server.closeAllConnections();
        server.close();
        await once(server, "close");
      },
    });
  });

  const call = () => ({ headers: rig.api.headers, timeoutMs: 10_000 });
  /** All that an attacker may want to change. */
  async function stateNow() {
    const { channel } = rig.api;
    const { app } = await channel.unary(AppService.method.getApp, { name: "web" }, call());
    const { sessions } = await channel.unary(AccessService.method.listSessions, {}, call());
    const { auditEntries } = await channel.unary(AuditService.method.listAuditEntries, { outcome: "OK" }, call());
    return { revision: app?.revision, sessions: sessions.map(({ id }) => id), audited: auditEntries[0]?.id };
  }

  /** A tab of the dashboard with a login, and one of the attacker in the same browser. */
  async function openBoth(site: string): Promise<Readonly<{ own: Page; evil: Page }>> {
    const tab = await rig.open("/ui/apps/web");
    await tab.login();
    await tab.page.getByText(VALUE).waitFor();
    const evil = await tab.page.context().newPage();
    await evil.goto(`http://${site}:${port}/`);
    return { own: tab.page, evil };
  }

  /** Whether the user is still logged in, and sees the app as before. */
  async function assertStillIn(own: Page): Promise<void> {
    await own.reload();
    await own.getByText(VALUE).waitFor();
  }

  for (const site of SITES) {
    it(`forms of a page at ${site} change nothing, and end no session`, async () => {
      const { own, evil } = await openBoth(site);
      const before = await stateNow();
      const forms = [
        { action: DELETE_APP, enctype: "text/plain", name: '{"name":"web","x":"', value: '"}' },
        { action: DELETE_APP, enctype: "application/x-www-form-urlencoded", name: "name", value: "web" },
        { action: DELETE_APP, enctype: "multipart/form-data", name: "name", value: "web" },
        { action: `${DELETE_APP}?connect=v1&encoding=json&message=${encodeURIComponent(APP)}`, enctype: "text/plain", name: "a", value: "b" },
        { action: "/api/v2/apps/web/delete", enctype: "text/plain", name: "a", value: "b" },
        { action: "/ui/logout", enctype: "text/plain", name: "{}", value: "" },
        { action: "/ui/logout", enctype: "application/x-www-form-urlencoded", name: "a", value: "b" },
        { action: "/ui/login", enctype: "text/plain", name: `{"user":"admin","password":"${rig.server.password}","x":"`, value: '"}' },
      ];
      const statuses: number[] = [];
      for (const form of forms) {
        const target = `${rig.server.url}${form.action}`;
        const answer = evil.waitForResponse((response) => response.url() === target && response.request().method() === "POST");
        await evil.evaluate(`{
          const { action, enctype, name, value } = ${JSON.stringify({ ...form, action: target })};
          const form = Object.assign(document.createElement("form"), { action, enctype, method: "POST" });
          form.append(Object.assign(document.createElement("input"), { name, value }));
          document.body.append(form);
          form.submit();
        }`);
        statuses.push((await answer).status());
        await evil.waitForURL(target);
        await evil.goto(`http://${site}:${port}/`);
      }
      assert.deepEqual(
        statuses.filter((status) => status < 400),
        [],
        "each form was refused",
      );
      assert.deepEqual(await stateNow(), before);
      await assertStillIn(own);
    });

    it(`fetches of a page at ${site} read nothing, and change nothing`, async () => {
      const { own, evil } = await openBoth(site);
      const before = await stateNow();
      const read: unknown = await evil.evaluate(`(async () => {
        const { url, app, get, remove } = ${JSON.stringify({ url: rig.server.url, app: APP, get: GET_APP, remove: DELETE_APP })};
        const seen = [];
        const attempt = async (path, init) => {
          try {
            const response = await fetch(url + path, { credentials: "include", ...init });
            seen.push({ path, type: response.type, text: await response.text() });
          } catch (error) {
            seen.push({ path, type: "refused", text: "" });
          }
        };
        const json = { "content-type": "application/json" };
        for (const path of [get, "/ui/", "/ui/apps/web", "/nebula.v1.StatusService/GetStatus?connect=v1&encoding=json&message={}"]) {
          await attempt(path, {});
          await attempt(path, { mode: "no-cors" });
        }
        for (const path of ["/nebula.v1.AppService/GetApp", remove, "/ui/logout", "/ui/login"]) {
          await attempt(path, { method: "POST", headers: json, body: app });
          await attempt(path, { method: "POST", mode: "no-cors", headers: { "content-type": "text/plain" }, body: app });
          await attempt(path, { method: "POST", mode: "no-cors", headers: json, body: app });
        }
        navigator.sendBeacon(url + "/ui/logout", "{}");
        navigator.sendBeacon(url + remove, app);
        return seen;
      })()`);
      assert.ok(Array.isArray(read) && read.length === 20, JSON.stringify(read));
      for (const { path, type, text } of read) assert.ok((type === "refused" || type === "opaque") && text === "", `${path}: ${type} ${text}`);
      assert.deepEqual(await stateNow(), before);
      await assertStillIn(own);
    });

    it(`a page at ${site} has the dashboard in no frame, no handle on its window, and nothing of it by a script or an image`, async () => {
      const { own, evil } = await openBoth(site);
      const url = `${rig.server.url}/ui/apps/web`;
      const policy = evil.waitForEvent("console", (message) => /frame-ancestors/.test(message.text()));
      const [popup] = await Promise.all([
        evil.context().waitForEvent("page"),
        evil.evaluate(`{
          document.body.append(Object.assign(document.createElement("iframe"), { src: ${JSON.stringify(url)} }));
          window.opened = window.open(${JSON.stringify(url)});
        }`),
      ]);
      await policy;
      await popup.waitForLoadState();
      for (const frame of evil.frames().slice(1)) assert.ok(!(await frame.content()).includes("Nebula"), "the frame has no dashboard");
      await eventually(async () => assert.equal(await evil.evaluate("window.opened.closed"), true, "the window of the dashboard is cut off"));
      assert.equal(await popup.evaluate("window.opener"), null);
      const loaded =
        await evil.evaluate(`Promise.all(${JSON.stringify([`${rig.server.url}${GET_APP}`, url])}.flatMap((src) => ["script", "img"].map((kind) =>
        new Promise((resolve) => {
          const part = Object.assign(document.createElement(kind), { src, onload: () => resolve(kind + " " + src), onerror: () => resolve("refused") });
          document.body.append(part);
        }))))`);
      assert.deepEqual(loaded, Array(4).fill("refused"));
      await assertStillIn(own);
    });
  }

  it("no script of the dashboard's own page can read the cookie, and one that was stolen is useless after the logout", async () => {
    const tab = await rig.open();
    await tab.login();
    assert.equal(await tab.page.evaluate("document.cookie"), "");
    const stolen = await tab.page.context().cookies();
    assert.equal(stolen.length, 1);
    const useIn = async (context: BrowserContext) => {
      await context.addCookies(stolen);
      const page = await context.newPage();
      await page.goto(`${rig.server.url}/ui/apps/web`);
      return page;
    };
    const thief = (await rig.open()).page.context();
    const seen = await useIn(thief);
    await seen.getByText(VALUE).waitFor(); // a cookie is as good as a login while its session lasts
    await tab.page.getByRole("button", { name: "Log out" }).click();
    await tab.page.getByRole("button", { name: "Log in" }).waitFor();
    await seen.getByText("Your login ended").waitFor();
    assert.equal(await seen.getByText(VALUE).count(), 0);
    const again = await useIn(thief);
    await again.getByRole("button", { name: "Log in" }).waitFor();
    assert.equal(await again.getByText(VALUE).count(), 0);
    const [{ name, value } = { name: "", value: "" }] = stolen;
    const headers = { cookie: `${name}=${value}`, origin: rig.server.url, "content-type": "application/json" };
    const response = await fetch(`${rig.server.url}/nebula.v1.AppService/GetApp`, { method: "POST", headers, body: APP });
    assert.equal(response.status, 401);
  });
});

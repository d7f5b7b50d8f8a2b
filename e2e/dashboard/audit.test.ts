import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { eventually } from "../../common/testing/eventually.ts";
import { AppService } from "../../gen/nebula/v1/app_pb.ts";
import { type AuditEntry, AuditService } from "../../gen/nebula/v1/audit_pb.ts";
import { DashboardRig } from "./dashboard-rig.ts";

const CHANGES = 150; // more than a page of the view
const HOSTILE = '<img src=x onerror="boom()">\u05d0\u05d1';
const PASSWORD = "a password of bob";

describe("the audit log in a browser", function () {
  this.timeout(90_000);
  const call = () => ({ headers: rig.api.headers, timeoutMs: 10_000 });
  const rig = DashboardRig.describe(async ({ api }) => {
    await api.createApp({ name: "web", dockerImage: "busybox:1" });
    for (let number = 2; number <= CHANGES; number++) await restart(api);
    const headers = await api.createUser("bob", PASSWORD, { apps: { "*": "rw" } });
    await assert.rejects(api.channel.unary(AppService.method.deleteApp, { name: HOSTILE }, { headers, timeoutMs: 10_000 }));
  });
  const restart = ({ channel, headers }: DashboardRig["api"]) =>
    channel.unary(AppService.method.restartApp, { name: "web" }, { headers, timeoutMs: 10_000 });

  const entries = async (filter: Readonly<{ who?: string; kind?: string; name?: string; outcome?: string }>): Promise<readonly AuditEntry[]> =>
    (await rig.api.channel.unary(AuditService.method.listAuditEntries, { ...filter, pageSize: 1000 }, call())).auditEntries;

  it("the log of an app has the entries of the API, newest first, beyond its first page, and each leads to the change that it made", async () => {
    const tab = await rig.open("/ui/audit?kind=app&name=web");
    await tab.login();
    await tab.page.getByText("100 entries so far").waitFor();
    const rows = tab.page.getByRole("table", { name: "Audit log" }).locator("tbody tr[aria-rowindex]");
    const cells = await rows.first().locator("td").allInnerTexts();
    assert.deepEqual(cells.slice(1), ["admin", "app web", "RestartApp", `${CHANGES - 1}->${CHANGES}`, "OK", "restart"]);
    const [newest] = await entries({ kind: "app", name: "web" });
    assert.equal(
      await rows.first().locator("time").getAttribute("datetime"),
      new Date(Number(newest?.at?.seconds) * 1000 + Math.floor((newest?.at?.nanos ?? 0) / 1e6)).toISOString(),
    );
    await eventually(async () => {
      await tab.page.mouse.wheel(0, 20_000);
      assert.equal(await tab.page.getByText(`${CHANGES} entries`, { exact: true }).count(), 1);
      assert.match(await rows.last().innerText(), /CreateApp/);
    });
    await rows.last().getByRole("link", { name: "->1" }).click();
    assert.match(tab.page.url(), /\/ui\/changes\/app\/web\/1$/);
    await tab.page.getByRole("heading", { level: 1 }).waitFor();
    tab.assertNoFaults();
  });

  it("a new entry appears at the top while the log is shown, and none is shown twice or left out", async () => {
    const tab = await rig.open("/ui/audit?kind=app&name=web");
    await tab.login();
    await tab.page.getByText("100 entries so far").waitFor();
    await tab.page.getByRole("table", { name: "Audit log" }).locator("tbody tr[aria-rowindex]").nth(10).getByRole("link", { name: "admin" }).focus();
    const { app } = await restart(rig.api);
    await tab.page.getByText(`${(app?.revision ?? 0n) - 1n}->${app?.revision}`).waitFor();
    const revisions = (await tab.page.getByRole("link", { name: /^\d+->\d+$/ }).allInnerTexts()).map((text) => Number(text.split("->")[1]));
    assert.ok(revisions.length > 10);
    assert.deepEqual(
      revisions,
      revisions.map((_, index) => Number(app?.revision) - index),
    );
    tab.assertNoFaults();
  });

  it("a filter is part of the address, and its line of nebulactl lists the same entries", async () => {
    const tab = await rig.open("/ui/audit");
    await tab.login();
    await tab.page.getByLabel("Kind").selectOption("user");
    await tab.page.getByLabel("Outcome").selectOption("OK");
    await tab.page.getByLabel("Since (").fill("1h");
    await tab.page.getByLabel("Since (").press("Enter");
    await tab.page.getByText("1 entry", { exact: true }).waitFor();
    assert.match(tab.page.url(), /\/ui\/audit\?kind=user&outcome=OK&since=1h$/);
    const line = await tab.page.locator(".command-text").first().innerText();
    assert.equal(line, "nebulactl audit list --kind user --outcome OK --since 1h");
    const env = { ...process.env, NEBULA_SERVER: rig.server.url, NEBULA_USER: "admin", NEBULA_PASSWORD: rig.server.password };
    const listed = spawnSync(process.execPath, ["cli/nebulactl.js", ...line.split(" ").slice(1), "-o", "json"], { encoding: "utf8", env });
    assert.equal(listed.status, 0, listed.stderr);
    const found: { name: string }[] = JSON.parse(listed.stdout);
    assert.deepEqual(
      found.map(({ name }) => name),
      ["bob"],
    );
    await tab.page.getByLabel("Until (").fill("30m");
    await tab.page.getByLabel("Until (").press("Enter");
    await tab.page.getByText("No entry matches this filter").waitFor();
    await tab.page.getByLabel("Since (").fill("yesterday");
    await tab.page.getByLabel("Since (").press("Enter");
    await tab.page.getByText('invalid since "yesterday": use a duration such as 30m or 2h').waitFor();
    await tab.page.getByRole("navigation").getByRole("link", { name: "Audit" }).click();
    await tab.page.getByRole("link", { name: "bob", exact: true }).first().click();
    await eventually(() => assert.match(tab.page.url(), /\/ui\/audit\?user=bob$/));
    const ofBob = await entries({ who: "bob" });
    await tab.page.getByText(ofBob.length === 1 ? "1 entry" : `${ofBob.length} entries`, { exact: true }).waitFor();
    tab.assertNoFaults();
  });

  it("text of others is text: a name that is markup or runs from right to left moves nothing, and the entry has all of it", async () => {
    const tab = await rig.open("/ui/audit?user=bob&kind=app");
    await tab.login();
    const row = tab.page.getByRole("table", { name: "Audit log" }).locator("tbody tr[aria-rowindex]");
    await row.getByText("INVALID_ARGUMENT").waitFor();
    const [entry] = await entries({ who: "bob", kind: "app" });
    assert.equal(await row.locator("td").nth(2).innerText(), `app ${HOSTILE}`);
    assert.equal(await row.locator("td").nth(2).locator("a").count(), 0, "a name that was refused leads nowhere");
    await row.getByRole("button").click();
    const dialog = tab.page.getByRole("dialog", { name: "Entry of the audit log" });
    for (const text of [`app ${HOSTILE}`, entry?.detail ?? "", entry?.requestId ?? "", "AppService/DeleteApp", "127.0.0.1"]) {
      await dialog.getByText(text, { exact: true }).waitFor();
    }
    assert.equal(await tab.page.locator("main img").count(), 0);
    await tab.page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    tab.assertNoFaults();
  });
});

import { strict as assert } from "node:assert";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { eventually } from "../../common/testing/eventually.ts";
import { sampleReport } from "../../common/testing/sample-report.ts";
import { matchPath } from "../../gateway/dashboard/page/match-path.ts";
import { AppService } from "../../gen/nebula/v1/app_pb.ts";
import { ContainerState, FailureCode, ReportService, StepKind, TargetState } from "../../gen/nebula/v1/report_pb.ts";
import { type DashboardPage, DashboardRig } from "./dashboard-rig.ts";
import { pathsOfViews } from "./paths-of-views.ts";

/** Each runs a script of its own where it becomes more than text. */
const MARKUP = [
  '<img src=x onerror="hit(1)">',
  "<script>hit(2)</script>",
  '<iframe srcdoc="<script>parent.hit(3)</script>"></iframe>',
  '"><svg onload="hit(4)">',
  "'><b class=injected>bold</b>",
  "<style>main{display:none}</style>",
  "</title></bdi></td></table><base href=//evil.example.com>",
].join("");
const REVERSED = "\u202e\u2066\u200fgnp.exe";
const ADDRESS = "javascript:hit(5)";
const UNBREAKABLE = "W".repeat(400);
const HOSTILE = `${MARKUP} ${REVERSED} ${ADDRESS} ${UNBREAKABLE}`;
/** The longest name, without a place to break it. */
const NAME = "W".repeat(63);
const IMAGE = `registry.example.com/${"w".repeat(120)}/shop:${"1".repeat(100)}`;
/** Marks that change the direction of the text around them. */
const DIRECTION = /[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]/;

describe("hostile texts in a browser", function () {
  this.timeout(180_000);
  const rig = DashboardRig.describe(async ({ api }) => {
    const hostile = { envVars: { MARKUP: HOSTILE, MARK: REVERSED }, labels: { [`a.${MARKUP}`]: HOSTILE }, command: [MARKUP, REVERSED, UNBREAKABLE] };
    await api.createApp({ name: NAME, dockerImage: IMAGE, ...hostile });
    await api.updateApp(NAME, {
      dockerImage: IMAGE.replace("shop", "till"),
      envVars: { MARKUP: `${HOSTILE} changed`, [MARKUP.replaceAll("=", "")]: "1" },
    });
    await api.createGroup(NAME, [NAME]);
  });
  before(async () => {
    const container = { name: HOSTILE, image: HOSTILE, state: ContainerState.EXITED, exitCode: 1, startedAt: timestampFromMs(0), imageId: HOSTILE };
    const status = { state: TargetState.FAILED, reason: HOSTILE, failureCode: FailureCode.EXITS, stepKind: StepKind.START, notes: [HOSTILE, MARKUP] };
    const report = sampleReport({
      ...{ deviceId: NAME, deviceGroup: NAME, receivedMs: Date.now(), state: TargetState.FAILED, workerVersion: HOSTILE, instance: HOSTILE },
      apps: [
        { ...status, name: NAME, revision: 2n, step: HOSTILE, containers: [container] },
        { ...status, name: HOSTILE, revision: 1n, step: HOSTILE, containers: [container] },
      ],
      cronJobs: [{ ...status, name: HOSTILE, revision: 1n, containers: [container] }],
      problems: [{ code: HOSTILE, message: HOSTILE }],
      host: { hostname: HOSTILE, os: HOSTILE, arch: HOSTILE, engineVersion: HOSTILE, cpuCores: 1, memoryTotalBytes: 1n, diskTotalBytes: 1n },
    });
    const { channel, headers } = rig.api;
    await channel.unary(ReportService.method.submitReports, { reports: [report] }, { headers, timeoutMs: 10_000 });
    await rig.api.reported(NAME);
    const call = { headers, timeoutMs: 10_000 };
    await rig.api.createUser(NAME, "a password", { apps: { [NAME]: "rw" }, deviceGroups: { [NAME]: "rw" } });
    await assert.rejects(channel.unary(AppService.method.deleteApp, { name: HOSTILE }, call));
    const login = { method: "POST", headers: { "content-type": "application/json", origin: rig.server.url, "user-agent": MARKUP } };
    for (const user of [MARKUP.replaceAll(":", ""), NAME])
      await fetch(`${rig.server.url}/ui/login`, { ...login, body: JSON.stringify({ user, password: "a password" }) });
  });

  /** The text that each view is to show of them. */
  const VIEWS: readonly Readonly<{ path: string; shows: string }>[] = [
    { path: "/ui/", shows: "gnp.exe" },
    { path: "/ui/devices", shows: "gnp.exe" },
    { path: "/ui/devices?failing=yes", shows: "gnp.exe" },
    { path: `/ui/devices/${NAME}`, shows: "gnp.exe" },
    { path: `/ui/groups/${NAME}`, shows: NAME },
    { path: "/ui/apps", shows: NAME },
    { path: `/ui/apps/${NAME}`, shows: "gnp.exe" },
    { path: `/ui/apps/${NAME}?from=1&to=2`, shows: "changed" },
    { path: `/ui/changes/app/${NAME}/2`, shows: "gnp.exe" },
    { path: `/ui/changes/device_group/${NAME}/1`, shows: NAME },
    { path: `/ui/apps/${NAME}/edit`, shows: NAME },
    { path: "/ui/create/app", shows: "" },
    { path: "/ui/users", shows: NAME },
    { path: `/ui/users/${NAME}`, shows: NAME },
    { path: "/ui/user-groups", shows: NAME },
    { path: `/ui/user-groups/${NAME}`, shows: NAME },
    { path: "/ui/audit", shows: NAME },
    { path: "/ui/account", shows: "" },
  ];

  /** Throws where anything of the page is more than text, is wider than its window, or changes the direction of what is around it. */
  async function assertHarmless({ page }: DashboardPage, about: string, width: number): Promise<void> {
    const found = await page.evaluate(`({
      hits: window.hits ?? [],
      parts: [...document.querySelectorAll("main img, main script, main iframe, main style, main base, .injected, [onload], [onerror]")].map(({ outerHTML }) => outerHTML),
      links: [...document.querySelectorAll("a[href], form[action]")].map(({ href, action }) => href ?? action).filter((to) => !to.startsWith(location.origin + "/ui/")),
      width: document.documentElement.scrollWidth,
      tall: [...document.querySelectorAll(".tallies li")].filter(({ offsetHeight }) => offsetHeight > 90).map(({ textContent }) => textContent),
      text: document.documentElement.textContent + [...document.querySelectorAll("*")].flatMap(({ attributes }) => [...attributes].map(({ value }) => value)).join(),
    })`);
    const { text, ...others }: { text: string } = Object.assign({ text: "" }, found);
    assert.deepEqual(others, { hits: [], parts: [], links: [], width, tall: [] }, about);
    assert.ok(!DIRECTION.test(text), `${about}: ${JSON.stringify(text.slice(Math.max(0, text.search(DIRECTION) - 80)).slice(0, 200))}`);
  }

  it("each view is looked at", async () => {
    const isLookedAt = (view: string) => VIEWS.some(({ path }) => matchPath(view, new URL(path, rig.server.url).pathname) !== undefined);
    assert.deepEqual(
      (await pathsOfViews()).filter((view) => !isLookedAt(view)),
      [],
    );
  });

  for (const width of [360, 1440]) {
    it(`markup, marks of direction and endless words run nothing on any view, and break no layout, in a window of ${width} px`, async () => {
      const tab = await rig.open("/ui/", { viewport: { width, height: 900 } });
      await tab.page.context().addInitScript("window.hit = (number) => (window.hits ??= []).push(number)");
      tab.page.on("dialog", (dialog) => {
        tab.faults.push(`dialog: ${dialog.message()}`);
        void dialog.dismiss();
      });
      await tab.login();
      for (const { path, shows } of VIEWS) {
        await tab.page.goto(`${rig.server.url}${path}`);
        await tab.page.getByRole("heading").first().waitFor();
        await eventually(async () => {
          assert.equal(await tab.page.locator(".loading").count(), 0, path);
          const text = await tab.page.locator("main").textContent();
          assert.ok(String(text).includes(shows), `${path} does not show ${shows}: ${text}`);
        });
        await tab.page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true");
        await assertHarmless(tab, path, width);
      }
      tab.assertNoFaults();
    });
  }

  it("a line of nebulactl is copied as it is shown: a terminal would obey a control character that it pastes", async () => {
    const tab = await rig.open(`/ui/devices?${new URLSearchParams({ version: "1\u0003reboot\u202e" })}`);
    await tab.page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await tab.login();
    await tab.page.getByRole("button", { name: /^Copy: nebulactl devices list/ }).click();
    await tab.page.getByText("Copied").waitFor();
    const copied = await tab.page.evaluate("navigator.clipboard.readText()");
    assert.equal(copied, String.raw`nebulactl devices list --worker-version '1\x03reboot\u202e'`);
    tab.assertNoFaults();
  });
});

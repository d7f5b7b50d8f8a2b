import { strict as assert } from "node:assert";
import { randomBytes } from "node:crypto";
import { eventually } from "../../common/testing/eventually.ts";
import { freePort } from "../../common/testing/free-port.ts";
import { AccessService } from "../../gen/nebula/v1/access_pb.ts";
import { ApplyService, ApplyVerb, type WatchApplyResponse } from "../../gen/nebula/v1/apply_pb.ts";
import { TargetKind } from "../../gen/nebula/v1/device_pb.ts";
import { FleetService } from "../../gen/nebula/v1/fleet_pb.ts";
import { UserGroupService } from "../../gen/nebula/v1/user_group_pb.ts";
import { Member } from "../harness/cluster-member.ts";
import { type DashboardPage, DashboardRig } from "./dashboard-rig.ts";
import { HeldFleet } from "./held-fleet.ts";

const LONG = process.env.NEBULA_TEST_LONG === "1";
const DEVICES = LONG ? 2000 : 60;
/** Until a change has reached all devices, or the half of them that is not held. */
const LANDED = { timeoutMs: LONG ? 240_000 : 40_000, everyMs: 200 };
const CLUSTER_KEY = `the key of the live views ${randomBytes(8).toString("hex")}`;
const STATES = ["applied", "working", "waiting", "failed", "offline"] as const;
const VIEWER = { name: "viewer", password: "a password of a viewer" };

describe("a change that is followed in a browser", function () {
  this.timeout(LONG ? 600_000 : 120_000);
  const rig = DashboardRig.describe(
    async ({ api }) => {
      await api.createApp({ name: "web", dockerImage: "shop:1" });
      await api.createGroup("pos", ["web"]);
    },
    { env: { NEBULA_CLUSTER_KEY: CLUSTER_KEY } },
  );
  let fleet: HeldFleet;
  before("start the devices", async () => {
    const { server } = rig;
    fleet = rig.use(await HeldFleet.start({ server, deviceGroup: "pos", devices: DEVICES }));
    await eventually(async () => assert.equal((await applyNow(1n)).counts?.applied, BigInt(DEVICES)), LANDED);
  });
  beforeEach(() => fleet.hold());
  afterEach(() => fleet.release());

  const call = () => ({ headers: rig.api.headers, timeoutMs: 20_000 });

  /** A revision of the app as the API has it now. */
  async function applyNow(revision: bigint): Promise<WatchApplyResponse> {
    const targets = [{ kind: TargetKind.APP, name: "web", revision, verb: ApplyVerb.UPDATE }];
    let last: WatchApplyResponse | undefined;
    const request = { targets, settleMs: 0, timeoutMs: 0 };
    for await (const message of rig.api.channel.serverStream(ApplyService.method.watchApply, request, { headers: rig.api.headers })) last = message;
    return last ?? assert.fail("the stream ended without a message");
  }

  /** Changes the app; resolves with the revision when all devices but those that are held have it. */
  async function changeHalf(tag: string): Promise<bigint> {
    const { revision } = await rig.api.updateApp("web", { dockerImage: `shop:${tag}` });
    await eventually(async () => {
      const { applied = 0n, failed = 0n, working = 0n } = (await applyNow(revision)).counts ?? {};
      assert.deepEqual([applied + failed, working], [BigInt(DEVICES / 2), BigInt(DEVICES / 2)]);
    }, LANDED);
    return revision;
  }

  /** Resolves when each number of the page of a change is the one of the API; with the counts of the API. */
  async function showsNumbersOf({ page }: DashboardPage, revision: bigint) {
    return await eventually(async () => {
      const { counts, failures } = await applyNow(revision);
      assert.ok(counts !== undefined);
      for (const state of STATES) assert.equal(await page.locator(`[data-count="${state}"]`).innerText(), shown(counts[state]), state);
      const share = counts.applied === counts.devices ? "100" : ((Number(counts.applied) / Number(counts.devices)) * 100).toFixed(1);
      assert.equal(await page.locator(".applied-line").innerText(), `${shown(counts.applied)} of ${shown(counts.devices)} applied · ${share} %`);
      const verdict = await page.locator(".verdict").innerText();
      assert.ok(verdict.includes(`${counts.onlineApplied} of ${counts.online} online devices run revision ${revision} or newer`), verdict);
      assert.deepEqual(
        await page.locator(".failure summary .number").allInnerTexts(),
        failures.map(({ devices }) => shown(devices)),
      );
      return counts;
    }, LANDED);
  }

  it("a change is followed through its middle to its verdict, with the numbers of the API, on the page of it, of its group, and on the overview", async () => {
    const tab = await rig.open();
    await tab.login();
    const revision = await changeHalf("held-2-broken");
    await tab.page.getByRole("link", { name: "app web" }).first().click();
    await tab.page.getByRole("heading", { name: `app web @${revision}` }).waitFor();
    await tab.page.getByText("On its way").waitFor();
    const middle = await showsNumbersOf(tab, revision);
    assert.ok(
      middle.applied > 0n && middle.failed > 0n && middle.working === BigInt(DEVICES / 2),
      JSON.stringify(middle, (_, value) => String(value)),
    );
    fleet.release();
    await tab.page.getByText("Some devices failed").waitFor({ timeout: LANDED.timeoutMs });
    const end = await showsNumbersOf(tab, revision);
    assert.deepEqual([end.devices, end.failed, end.applied], [BigInt(DEVICES), BigInt(DEVICES / 20), BigInt(DEVICES - DEVICES / 20)]);
    await tab.page.getByRole("img", { name: new RegExp(`to ${end.applied} of ${DEVICES} devices`) }).waitFor();

    for (const path of ["/ui/", "/ui/groups/pos"]) {
      await tab.page.goto(`${rig.server.url}${path}`);
      await eventually(async () => {
        const { fleet } = await rig.api.channel.unary(FleetService.method.getOverview, {}, call());
        for (const state of ["applied", "failed"] as const)
          assert.equal(await tab.number(new RegExp(`^[\\d,]+ ${state}$`)), Number(fleet?.states?.[state]), `${path}: ${state}`);
        assert.equal(fleet?.states?.failed, end.failed);
      }, LANDED);
    }
    tab.assertNoFaults();
  });

  it("a second change supersedes the first: the page of the first says so, leads to it, and its numbers stay those of the API", async () => {
    const first = await changeHalf("held-3");
    const tab = await rig.open(`/ui/changes/app/web/${first}`);
    await tab.login();
    await tab.page.getByText("On its way").waitFor();
    assert.equal(await tab.page.getByText("Superseded").count(), 0);
    const second = await rig.api.updateApp("web", { dockerImage: "shop:4" });
    const link = tab.page.getByRole("link", { name: `app web was changed again by admin: revision ${second.revision}` });
    await link.waitFor();
    await tab.page.getByText("Every online device has it").waitFor({ timeout: LANDED.timeoutMs });
    assert.equal((await showsNumbersOf(tab, first)).applied, BigInt(DEVICES));
    await link.click();
    await tab.page.getByRole("heading", { name: `app web @${second.revision}` }).waitFor();
    assert.equal((await showsNumbersOf(tab, second.revision)).applied, BigInt(DEVICES));
    assert.equal(await tab.page.getByText("Superseded").count(), 0);
    tab.assertNoFaults();
  });

  it("a gateway that is killed in the middle of a change and starts again later: the page says its age meanwhile, and follows the change to its end by itself", async () => {
    await using gateway = await startGateway();
    const revision = await changeHalf("held-5");
    const tab = await rig.open(`/ui/changes/app/web/${revision}`, {}, `http://${gateway.address}`);
    await tab.login();
    await tab.page.getByText("On its way").waitFor();
    await showsNumbersOf(tab, revision);
    await gateway.program.kill();
    await tab.page.getByRole("alert").getByText("The server does not answer").waitFor();
    await tab.page
      .getByText(/The server does not answer\. As of \d+ s ago/)
      .first()
      .waitFor();
    fleet.release();
    await eventually(async () => assert.equal((await applyNow(revision)).counts?.applied, BigInt(DEVICES)), LANDED);
    assert.equal(await tab.page.locator('[data-count="working"]').innerText(), shown(BigInt(DEVICES / 2)), "the page keeps what it showed");
    const ageNow = async () => Number(/everything here is as of (\d+) s ago/i.exec(await tab.page.locator(".unreachable").innerText())?.[1]);
    const age = await ageNow();
    await eventually(async () => assert.ok((await ageNow()) > age, "the age rises"));
    gateway.launch();
    await gateway.ready();
    await tab.page.getByText("Every online device has it").waitFor({ timeout: LANDED.timeoutMs });
    await showsNumbersOf(tab, revision);
    await eventually(async () => assert.equal(await tab.page.getByText("The server does not answer").count(), 0));
    assert.deepEqual(
      tab.faults.filter((fault) => /^(script|other origin)/.test(fault)),
      [],
    );
  });

  it("rights that are taken away in the middle of a change take its numbers off the page, and off the overview; given back, it is followed again", async () => {
    const { channel } = rig.api;
    const rights = { deviceGroups: { pos: "ro" }, apps: { web: "ro" } };
    await rig.api.createUser(VIEWER.name, VIEWER.password, rights);
    const setRights = async (now: Partial<typeof rights>) => {
      const updateFields = ["device_groups", "apps"];
      await channel.unary(UserGroupService.method.updateUserGroup, { userGroup: { name: VIEWER.name, ...now }, updateFields }, call());
    };
    const revision = await changeHalf("held-6");
    const tab = await rig.open(`/ui/changes/app/web/${revision}`);
    await tab.login(VIEWER.name, VIEWER.password);
    await tab.page.getByText("On its way").waitFor();
    const overview = await tab.page.context().newPage();
    await overview.goto(`${rig.server.url}/ui/`);
    await overview.getByRole("link", { name: "pos", exact: true }).waitFor();
    await setRights({});
    await tab.page.getByText("Your rights do not cover this").first().waitFor();
    assert.equal(await tab.page.locator("[data-count]").count(), 0, "numbers of before are not shown any more");
    await overview.getByText("There is nothing here yet").waitFor();
    assert.ok(!(await overview.locator("main").innerText()).includes("pos"));
    await setRights(rights);
    await tab.page.getByText("On its way").waitFor({ timeout: 90_000 });
    await overview.getByRole("link", { name: "pos", exact: true }).waitFor();
    fleet.release();
    await tab.page.getByText("Every online device has it").waitFor({ timeout: LANDED.timeoutMs });
    await showsNumbersOf(tab, revision);
    assert.deepEqual(
      tab.faults.filter((fault) => /^(script|other origin)/.test(fault)),
      [],
    );
  });

  it("a session that is ended elsewhere in the middle of a change leads to the form, which says why, and a login back to the change", async () => {
    const revision = await changeHalf("held-7");
    const tab = await rig.open(`/ui/changes/app/web/${revision}`);
    await tab.login();
    await tab.page.getByText("On its way").waitFor();
    const { sessions } = await rig.api.channel.unary(AccessService.method.listSessions, { pageSize: 1 }, call());
    const newest = sessions[0]?.id ?? assert.fail("there is no session");
    await rig.api.channel.unary(AccessService.method.deleteSession, { id: newest }, call());
    await tab.page.getByText("Your login ended. Log in again to continue where you were.").waitFor();
    assert.equal(
      (await tab.page.getByText("shop:held-7").count()) + (await tab.page.locator("[data-count]").count()),
      0,
      "nothing is left of what it showed",
    );
    fleet.release();
    await tab.login();
    assert.match(tab.page.url(), new RegExp(`/ui/changes/app/web/${revision}$`));
    await tab.page.getByText("Every online device has it").waitFor({ timeout: LANDED.timeoutMs });
    await showsNumbersOf(tab, revision);
    tab.assertNoFaults();
  });

  /** A gateway in a process of its own, beside that of the server. */
  async function startGateway(): Promise<Member> {
    const [port, metricsPort] = [await freePort(), await freePort()];
    const gateway = new Member({
      ...{ part: "gateway", name: "gateway", port, metricsPort },
      env: {
        NEBULA_MANAGERS: rig.server.grpcUrl,
        NEBULA_CLUSTER_KEY: CLUSTER_KEY,
        NEBULA_HTTP_LISTEN: `127.0.0.1:${port}`,
        NEBULA_METRICS_LISTEN: `127.0.0.1:${metricsPort}`,
      },
    });
    await gateway.ready();
    return gateway;
  }
});

/** A number as the page writes it. */
function shown(count: bigint): string {
  return count.toLocaleString("en-US");
}

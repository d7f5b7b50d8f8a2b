import { strict as assert } from "node:assert";
import { eventually } from "../../common/testing/eventually.ts";
import { AccessService } from "../../gen/nebula/v1/access_pb.ts";
import { SimulatedWorker } from "../harness/simulated-worker.ts";
import { DashboardRig } from "./dashboard-rig.ts";

const PASSWORD = "a password of bob";

describe("enrolment tokens in a browser", function () {
  this.timeout(90_000);
  const rig = DashboardRig.describe(async ({ api }) => {
    await api.createApp({ name: "web", dockerImage: "busybox:1" });
    await api.createGroup("pos", ["web"]);
  });
  const call = () => ({ headers: rig.api.headers, timeoutMs: 10_000 });
  const tokens = async () => (await rig.api.channel.unary(AccessService.method.listEnrolmentTokens, { deviceGroup: "pos" }, call())).enrolmentTokens;
  const opened = async (user?: string) => {
    const tab = await rig.open("/ui/groups/pos");
    await (user === undefined ? tab.login() : tab.login(user, PASSWORD));
    return { tab, dialog: tab.page.getByRole("dialog", { name: "Enrol devices into pos" }) };
  };

  it("a token is made by the keyboard alone, and a machine becomes a device with the line that is shown", async () => {
    const { tab, dialog } = await opened();
    const { page } = tab;
    await page.getByRole("button", { name: "Enrol devices" }).focus();
    await page.keyboard.press("Enter");
    await dialog.getByText(/^nebulactl devices enroll --device-group pos --uses 1 --expires 1d$/).waitFor();
    await page.keyboard.press("Control+A"); // the first field has the focus
    await page.keyboard.type("0");
    await page.keyboard.press("Enter");
    await dialog.getByRole("alert").getByText('invalid number of devices "0": use 1 to 1,000,000').waitFor();
    assert.equal((await tokens()).length, 0);
    await page.keyboard.press("Control+A");
    await page.keyboard.type("2");
    await dialog.getByLabel("Valid for").fill("3");
    await dialog.getByLabel("Unit").selectOption("hours");
    await dialog.getByText("nebulactl devices enroll --device-group pos --uses 2 --expires 3h").waitFor();
    await page.keyboard.press("Tab");
    await dialog.getByLabel("Address of the server, as devices reach it").press("Enter");
    await dialog.getByText(/^Enrolment token [0-9a-f]{16} for 2 devices of device_group pos, until .*; shown only once/).waitFor();
    const [made] = await tokens();
    assert.equal(made?.usesLeft, 2);
    const validMs = Number((made?.expiresAt?.seconds ?? 0n) - (made?.createdAt?.seconds ?? 0n)) * 1000;
    assert.equal(validMs, 3 * 3_600_000);

    const lines = await dialog.locator(".command-text").allInnerTexts();
    const [, server = "", enrollToken = ""] =
      /^NEBULA_SERVER=(\S+) NEBULA_ENROLL_TOKEN=(\S+) nebula worker$/.exec(lines[1] ?? "") ?? assert.fail(lines[1] ?? "no line");
    assert.equal(server, rig.server.url);
    assert.match(lines[0] ?? "", /^docker run -d --name nebula-worker /);
    assert.ok(lines[0]?.includes(`-e NEBULA_SERVER=${server} -e NEBULA_ENROLL_TOKEN=${enrollToken} \\\n`), lines.join("\n"));
    for (let time = 1; time <= 2; time++) await page.keyboard.press("Escape");
    assert.ok(await dialog.isVisible(), "only its button closes what is shown once");

    await using _ = new SimulatedWorker({ server, deviceId: "till-1", enrollToken });
    await rig.api.reported("till-1");
    await dialog.getByRole("button", { name: "Done" }).click();
    const devices = page.getByRole("table", { name: "Devices" });
    await devices.getByRole("link", { name: "till-1" }).waitFor();
    const row = page.getByRole("table", { name: "Enrolment tokens" }).locator("tbody tr[aria-rowindex]");
    await eventually(async () =>
      assert.deepEqual(
        (await row.allInnerTexts()).map((text) => text.split("\t").slice(0, 2)),
        [[made?.id, "1"]],
      ),
    );
    assert.equal(await page.getByText(enrollToken).count(), 0, "it is shown once");
    tab.assertNoFaults();
  });

  it("the lines of a token are copied", async () => {
    const { tab, dialog } = await opened();
    await tab.page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await tab.page.getByRole("button", { name: "Enrol devices" }).click();
    await dialog.getByRole("button", { name: "Make the token" }).click();
    await dialog.getByRole("button", { name: /^Copy: docker run/ }).click();
    await dialog.getByText("Copied").waitFor();
    const copied = await tab.page.evaluate("navigator.clipboard.readText()");
    assert.equal(copied, await dialog.locator(".command-text").first().innerText());
    tab.assertNoFaults();
  });

  it("a token is revoked, after which no device enrols with it", async () => {
    const { tab } = await opened();
    const [newest] = await tokens();
    const id = newest?.id ?? assert.fail("there is no token");
    await tab.page.getByRole("button", { name: `Revoke ${id}` }).click();
    const dialog = tab.page.getByRole("dialog", { name: `Revoke enrolment token ${id}` });
    await dialog.getByText(`nebulactl devices revoke-enrolment ${id}`).waitFor();
    assert.ok(
      (await tokens()).some((token) => token.id === id),
      "nothing is done before it is confirmed",
    );
    await dialog.getByRole("button", { name: "Revoke", exact: true }).click();
    await dialog.getByText(`Enrolment token ${id} is revoked.`).waitFor();
    assert.ok((await tokens()).every((token) => token.id !== id));
    await dialog.getByRole("button", { name: "Close" }).click();
    await tab.page.getByRole("button", { name: `Revoke ${id}` }).waitFor({ state: "detached" });
    tab.assertNoFaults();
  });

  it("a token whose answer is lost is said to be uncertain, and is in the list", async () => {
    const { tab, dialog } = await opened();
    const before = (await tokens()).length;
    await tab.page.route(/\/CreateEnrolmentToken$/, async (route) => {
      await route.fetch();
      await route.abort();
    });
    await tab.page.getByRole("button", { name: "Enrol devices" }).click();
    await dialog.getByRole("button", { name: "Make the token" }).click();
    await dialog.getByRole("alert").getByText("Whether it was done is not certain").waitFor();
    const rows = tab.page.getByRole("table", { name: "Enrolment tokens" }).locator("tbody tr[aria-rowindex]");
    await eventually(async () => assert.equal(await rows.count(), before + 1));
  });

  it("a user who may only read a group is offered no token and sees none; one who may write this group alone makes one", async () => {
    for (const [name, level] of [
      ["bob", "ro"],
      ["ann", "rw"],
    ] as const) {
      await rig.api.createUser(name, PASSWORD, { deviceGroups: { pos: level } });
      const { tab, dialog } = await opened(name);
      await tab.page.getByRole("table", { name: "Members" }).waitFor();
      const isOffered = level === "rw";
      assert.equal(await tab.page.getByRole("button", { name: "Enrol devices" }).count(), isOffered ? 1 : 0);
      assert.equal(await tab.page.getByRole("heading", { name: "Enrolment tokens" }).count(), isOffered ? 1 : 0);
      if (!isOffered) continue;
      await tab.page.getByRole("button", { name: "Enrol devices" }).click();
      await dialog.getByRole("button", { name: "Make the token" }).click();
      await dialog.getByText(/^Enrolment token .* for 1 device of device_group pos/).waitFor();
      tab.assertNoFaults();
    }
  });
});

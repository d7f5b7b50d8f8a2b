import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";
import { eventually } from "../../../../common/testing/eventually.ts";
import { requireCommand } from "../../../../common/testing/require-command.ts";
import { AppService } from "../../../../gen/nebula/v1/app_pb.ts";
import {
  ApplyService,
  ApplyVerb,
  ApplyVerdict,
  DeviceStanding,
  type WatchApplyRequest,
  WatchApplyResponseSchema,
} from "../../../../gen/nebula/v1/apply_pb.ts";
import { DeviceGroupService } from "../../../../gen/nebula/v1/device_group_pb.ts";
import { TargetKind } from "../../../../gen/nebula/v1/device_pb.ts";
import { Interrupted } from "../../io/io.ts";
import { asAdmin } from "../../testing/as-admin.ts";
import { assertGolden } from "../../testing/golden.ts";
import { nebulactl, type Ran, type RunOptions } from "../../testing/test-cli.ts";
import { ADMIN, startTestServer, type TestServer } from "../../testing/test-server.ts";

type Message = MessageInitShape<typeof WatchApplyResponseSchema>;
type Opening = readonly (Message | Code)[];

const WORKING: Message = { counts: { devices: 2n, working: 2n, online: 2n }, revisions: [2n], groups: 1n };
const DONE: Message = { counts: { devices: 2n, applied: 2n, online: 2n, onlineApplied: 2n }, revisions: [2n], verdict: ApplyVerdict.APPLIED };

/** Runs a command against a server whose stream says this at each opening: messages, and a code where it breaks; then it says nothing. */
async function ran(args: string, openings: readonly Opening[], options: RunOptions = {}): Promise<Ran & { requests: WatchApplyRequest[] }> {
  const requests: WatchApplyRequest[] = [];
  const app = (running: boolean) => ({ app: { name: "web", dockerImage: "shop:2", revision: 2n, running } });
  const group = { name: "pos", revision: 7n, pruneId: 4n, apps: ["web"] };
  const transport = createRouterTransport(({ service }) => {
    service(AppService, {
      startApp: () => app(true),
      stopApp: () => app(false),
      restartApp: () => app(true),
      deleteApp: () => ({ revision: 3n }),
      getApp: () => ({ app: { name: "web", dockerImage: "shop:1", revision: 1n } }),
      updateApp: () => app(true),
      createApp: () => app(true),
    });
    service(DeviceGroupService, {
      prune: () => ({ deviceGroup: group }),
      getDeviceGroup: () => ({ deviceGroup: { ...group, revision: 6n, apps: ["old"], cronJobs: ["job"] } }),
      updateDeviceGroup: () => ({ deviceGroup: group }),
    });
    service(ApplyService, {
      async *watchApply(request, { signal }) {
        requests.push(request);
        for (const said of openings[requests.length - 1] ?? []) {
          if (typeof said === "number") throw new ConnectError("it broke", said);
          yield create(WatchApplyResponseSchema, said);
        }
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
      },
    });
  });
  const env = { NEBULA_SERVER: "http://127.0.0.1:1", NEBULA_TOKEN: "t" };
  return { ...(await nebulactl(args, { env, connect: async () => transport, ...options })), requests };
}

/** Asserts that a text is that of a file, but for the time that passed. */
const golden = (name: string, text: string) => assertGolden(new URL(`golden/${name}`, import.meta.url), text.replaceAll(/\b\d+:\d\d$/gm, "0:00"));

describe("nebulactl --wait", () => {
  it("--wait prints the change, lines of progress and how it ended; the exit code says the verdict", async () => {
    const { code, out, err, requests } = await ran("apps restart web --wait", [[WORKING, DONE]]);
    assert.deepEqual([code, err], [0, ""]);
    await golden("restarted.txt", out);
    const [request] = requests;
    assert.deepEqual(
      request?.targets.map(({ kind, name, revision, verb }) => [kind, name, revision, verb]),
      [[TargetKind.APP, "web", 2n, ApplyVerb.UPDATE]],
    );
    assert.deepEqual([request?.settleMs, (request?.timeoutMs ?? 0) > 290_000], [10_000, true]);
  });

  for (const [verdict, expected] of [
    [ApplyVerdict.APPLIED, 0],
    [ApplyVerdict.FAILED, 2],
    [ApplyVerdict.UNFINISHED, 3],
    [ApplyVerdict.NONE_ONLINE, 3],
  ] as const) {
    it(`--wait ends with ${expected} at verdict ${verdict}`, async () => {
      const { code, err } = await ran("apps start web --wait --settle 1s --timeout 1m", [[{ ...WORKING, verdict }]]);
      assert.equal(code, expected);
      assert.equal(err, verdict === ApplyVerdict.UNFINISHED ? "look again with: nebulactl status app/web\n" : "");
    });
  }

  it("--wait says to the server what was done: stopped, deleted, pruned, and which members a group gained and lost", async () => {
    const asked = async (args: string) => (await ran(args, [[DONE]])).requests[0]?.targets[0];
    assert.equal((await asked("apps stop web --wait"))?.verb, ApplyVerb.STOP);
    const deleted = await asked("apps delete web --yes --wait");
    assert.deepEqual([deleted?.verb, deleted?.revision], [ApplyVerb.DELETE, 3n]);
    const pruned = await asked("prune --device-group pos --wait");
    assert.deepEqual([pruned?.verb, pruned?.pruneId], [ApplyVerb.PRUNE, 4n]);
    const group = await asked("device-groups update pos --apps web --wait");
    const names = (members: readonly { kind: TargetKind; name: string }[] = []) => members.map(({ kind, name }) => `${kind}/${name}`);
    assert.deepEqual([names(group?.added), names(group?.removed)], [["1/web"], ["1/old", "2/job"]]);
  });

  it("a stream that breaks, or ends without a verdict, is opened again with the time that is left", async () => {
    const { code, requests } = await ran("apps start web --wait --timeout 60s", [[WORKING, Code.Unavailable], [WORKING, Code.Internal], [DONE]]);
    assert.deepEqual([code, requests.length], [0, 3]);
    const [first = 0, second = 0, third = 0] = requests.map(({ timeoutMs }) => timeoutMs ?? 0);
    assert.ok(first > second && second > third && third > 50_000, `${first} ${second} ${third}`);
  }).timeout(10_000);

  it("a refusal ends it with 1, and so does a server that is away at the timeout", async () => {
    const refused = await ran("apps start web --wait", [[WORKING, Code.PermissionDenied]]);
    assert.deepEqual([refused.code, refused.requests.length], [1, 1]);
    const away = await ran("apps start web --wait --timeout 800ms", [[Code.Unavailable], [Code.Unavailable], [Code.Unavailable]]);
    assert.equal(away.code, 1);
    assert.match(away.err, /^error: .*\n$/);
  });

  it("Ctrl-C ends it with 130, and says that the change stays and how to look again", async () => {
    const ctrlC = new AbortController();
    const onOut = (text: string) => {
      if (text.includes("applied")) ctrlC.abort(new Interrupted());
    };
    const { code, err } = await ran("device-groups update pos --apps web --wait", [[WORKING]], { signal: ctrlC.signal, onOut });
    assert.deepEqual([code, err], [130, "the change stays; look again with: nebulactl status device_group/pos\nerror: interrupted\n"]);
  });

  it("as JSON each message is an object on one line, the last one with the verdict", async () => {
    const changed = [{ deviceId: "d1", deviceGroup: "pos", standing: DeviceStanding.WORKING }];
    const { code, out } = await ran("apps start web --wait -o json", [[{ ...WORKING, changed }, DONE]]);
    const lines = out
      .trim()
      .split("\n")
      .slice(-2)
      .map((line) => JSON.parse(line));
    assert.equal(code, 0);
    assert.deepEqual(
      lines.map(({ verdict, counts, changed }) => [verdict, counts.working, changed]),
      [
        [undefined, 2, [{ device_id: "d1", device_group: "pos", state: "working" }]],
        ["applied", 0, []],
      ],
    );
  });

  it("what can't be waited for is refused before anything is changed", async () => {
    for (const [args, words] of [
      ["apps start web --settle 1s", /--settle needs --wait/],
      ["apps start web --wait --timeout soon", /--timeout "soon"/],
      ["apps start web --wait --timeout 8d", /invalid --timeout "8d": it is too long; use at most 7d/],
      ["apps start web --wait -o yaml", /invalid --output "yaml" with --wait/],
    ] as const) {
      const { code, out, err } = await ran(args, []);
      assert.deepEqual([code, out], [1, ""], args);
      assert.match(err, words);
    }
  });
});

describe("nebulactl --wait and status on a real server", function () {
  this.timeout(120_000);
  let server: TestServer;
  before(async function () {
    requireCommand(this, "script", "Debian: bsdutils");
    server = await startTestServer();
  });
  after(() => server?.[Symbol.asyncDispose]());
  const { run, printed, refused } = asAdmin(() => server);

  it("nebulactl status shows an app that no device_group contains, and refuses a name that was never used", async () => {
    await printed("apps create alone --image shop:1");
    const { code, out } = await run("status alone");
    assert.equal(code, 3);
    await golden("nothing-reached.txt", out);
    const json = await run("status alone -o json");
    assert.deepEqual([json.code, JSON.parse(json.out).verdict], [3, "none_online"]);
    await refused("status never", /there is no app, cron_job or device_group "never"/);
  });

  it("the delete of a device_group ends with 0, though none of its devices is online: it asks nothing of them", async () => {
    await printed("device-groups create leaving");
    const { code, out } = await run("device-groups delete leaving --yes --wait --settle 1s");
    assert.equal(code, 0, out);
    assert.match(out, /device_group leaving deleted, revision 2\n(?:.*\n)*no device is reached\n$/);
    assert.equal((await run("status device_group/leaving")).code, 0);
  });

  it("on a terminal one line is redrawn, and a typed Ctrl-C ends it with 130", async () => {
    const nebulactlPath = fileURLToPath(new URL("../../../nebulactl.js", import.meta.url));
    const env = { ...process.env, NEBULA_SERVER: server.http, NEBULA_TOKEN: ADMIN.token, TERM: "xterm" };
    const command = `stty cols 100; "${process.execPath}" "${nebulactlPath}" apps create seen --image shop:1 --wait --settle 1m`;
    const program = spawn("script", ["-qec", command, "/dev/null"], { env });
    let shown = "";
    program.stdout.on("data", (chunk: Buffer) => {
      shown += chunk.toString("utf8");
    });
    const ended = once(program, "close");
    const redrawn = "\u001b[1A\r\u001b[2Kseen 1   0/0 applied";
    await eventually(() => shown.includes(redrawn), { timeoutMs: 60_000 }); // the second message, 10 s after the first
    program.stdin.write("\x03");
    const [code] = await ended;
    assert.equal(code, 130, shown);
    assert.match(shown, /the change stays; look again with: nebulactl status app\/seen\r?\n/);
  });
});

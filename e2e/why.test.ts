import { strict as assert } from "node:assert";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { nebulactl } from "../cli/nebulactl/testing/test-cli.ts";
import { type AdviceSubject, failureAdvice } from "../common/insight/advice.ts";
import { mapLimited } from "../common/map-limited.ts";
import { eventually } from "../common/testing/eventually.ts";
import { freePort } from "../common/testing/free-port.ts";
import { sampleReport } from "../common/testing/sample-report.ts";
import { PullPolicy } from "../gen/nebula/v1/container_pb.ts";
import { FailureCode, ReportService, StepKind, TargetState } from "../gen/nebula/v1/report_pb.ts";
import { appContainerName } from "../worker/observed/names.ts";
import { failureCodeOf } from "../worker/plan/memory/failure-code.ts";
import { type Engine, FOREVER, IMAGE, newInstance } from "./harness/engine.ts";
import { EngineProxy } from "./harness/engine-proxy.ts";
import { FleetRig } from "./harness/fleet-rig.ts";

type CodeName = Exclude<keyof typeof FailureCode, "UNSPECIFIED" | "OTHER">;

/** Words of real engines, as worker/plan/memory/failure-code.test.ts has them. */
const WORDS = {
  NO_SPACE: "mkdir /var/lib/docker/overlay2/1f: no space left on device",
  NETWORK_FAILED: "endpoint with name web-1 already exists in network nebula",
  STOP_FAILED: "cannot stop container: 3f4e: tried to kill container, but did not receive an exit event",
  REMOVE_FAILED: "driver failed to remove root filesystem: device or resource busy",
  INSPECT_FAILED: "layer does not exist",
} as const;

describe("nebulactl why on what fails on a real engine", function () {
  this.timeout(180_000);
  const rig = FleetRig.describe();
  type AppInit = Omit<Parameters<typeof rig.api.createApp>[0], "name">;
  const explained = new Set<CodeName>();

  const why = async (...args: string[]) => {
    const env = { NEBULA_SERVER: rig.server.url, NEBULA_USER: "admin", NEBULA_PASSWORD: rig.server.password };
    const { code, out, err } = await nebulactl(["why", ...args], { env });
    assert.deepEqual([code, err], [0, ""], args.join(" "));
    return out;
  };

  /** Waits until `why` explains the target with this code, then holds that all of its advice is there. */
  const explains = async (deviceId: string, name: string, code: CodeName, timeoutMs = 60_000) => {
    const word = `(${code.toLowerCase()})`;
    let out = "";
    const hasCode = async () => {
      out = await why(deviceId, name);
      return out.includes(word);
    };
    await eventually(hasCode, { timeoutMs, everyMs: 500 }).catch((error) => assert.fail(`${name} is not ${word}: ${error}\n${out}`));
    assert.match(out, /<- stuck here/, out);
    const subject: AdviceSubject = { deviceId, deviceGroup: "GROUP", kind: "app", name };
    for (const { text } of failureAdvice(FailureCode[code], subject)) assert.ok(out.includes(text), `${text} in\n${out}`);
    explained.add(code);
    return out;
  };

  /** An app per code; its name is that of the code. */
  const nameOf = (code: CodeName) => `${code.toLowerCase().replaceAll("_", "-")}-${newInstance()}`;

  it("every failure that an engine and a registry can be brought to is explained with its advice, side by side on one device", async () => {
    const instance = newInstance();
    const registry = await startRegistry();
    rig.use(registry);
    const [held, claimed] = [await freePort(), await freePort()];
    const stale = `127.0.0.1:1/${instance}:1`;
    const runs: AppInit = { dockerImage: IMAGE, command: FOREVER };
    const apps: Readonly<Partial<Record<CodeName, AppInit>>> = {
      CONFIG_INVALID: { ...runs, startingPorts: [{ hostPort: 65535, containerPort: 80 }], containersPer: { per: { case: "cpu", value: 3 } } },
      CLAIM_LOST: { ...runs, startingPorts: [{ hostPort: claimed, containerPort: 80 }] },
      NAME_TAKEN: runs,
      PORT_TAKEN: { ...runs, startingPorts: [{ hostPort: held, containerPort: 80 }] },
      NETWORK_MISSING: { ...runs, networks: ["no-such-network"] },
      IMAGE_MISSING: { ...runs, dockerImage: `no-such-image-${instance}:1`, pullPolicy: PullPolicy.NEVER },
      DEVICE_MISSING: { ...runs, devices: ["/dev/no-such-device"] },
      COMMAND_MISSING: { ...runs, command: ["/no/such/command"] },
      PULL_LOGIN: { ...runs, dockerImage: `${registry.host}/login:1` },
      PULL_NOT_FOUND: { ...runs, dockerImage: `${registry.host}/nothing:1` },
      PULL_PLATFORM: { ...runs, dockerImage: `${registry.host}/platform:1` },
      PULL_UNREACHABLE: { ...runs, dockerImage: "127.0.0.1:1/no/such:image" },
      MOUNT_REFUSED: { ...runs, volumes: ["/proc/no-such-folder:/data"] },
      CREATE_REFUSED: { ...runs, logging: { driver: "no-such-driver" } },
      START_REFUSED: { ...runs, user: "no-such-user" },
      EXITS: { ...runs, command: ["sh", "-c", "exit 3"] },
      UNHEALTHY: { ...runs, healthcheck: { test: ["CMD", "false"], intervalMs: 500, retries: 1 } },
      IMAGE_STALE: { ...runs, dockerImage: stale, pullPolicy: PullPolicy.UNSPECIFIED },
      PAUSED: runs,
    };
    const codes = Object.entries(apps).map(([code, app]) => ({ code: codeNamed(code), app, name: nameOf(codeNamed(code)) }));
    const named = (code: CodeName) => codes.find((one) => one.code === code)?.name ?? assert.fail(code);
    for (const { name, app } of codes) await rig.api.createApp({ ...app, name });
    const first = rig.name("first");
    await rig.api.createApp({ ...runs, name: first, startingPorts: [{ hostPort: claimed, containerPort: 80 }] });

    const { engine, worker, group } = await rig.device([], { instance });
    await engine.build(stale, "ENV PRELOADED=1");
    rig.deferLast(() => engine.docker.getImage(stale).remove({ force: true }));
    await occupy(engine, appContainerName(instance, named("NAME_TAKEN"), 1), {});
    await occupy(engine, `holder-${instance}`, { "80/tcp": [{ HostPort: String(held) }] });
    await rig.api.updateGroup(group, [first, ...codes.map(({ name }) => name)]);
    const [paused] = await engine.settled(named("PAUSED"), 1);
    await engine.docker.getContainer(paused?.Id ?? "").pause();

    const texts = await mapLimited(codes, 4, ({ code, name }) => explains(worker.deviceId, name, code));
    assert.ok(
      texts.some((out) => /next try in \d+ s/.test(out)),
      "what is tried again says when",
    );
    const whole = await why(worker.deviceId);
    for (const { name } of codes) assert.ok(whole.includes(`${name} @`), `${name} in\n${whole}`);
    assert.ok(whole.lastIndexOf(`${first} @`) > whole.lastIndexOf(named("PAUSED")), "what is as wanted comes last");
  });

  async function occupy(engine: Engine, name: string, bindings: Record<string, { HostPort: string }[]>) {
    const exposed = Object.fromEntries(Object.keys(bindings).map((port) => [port, {}]));
    const config = { Image: IMAGE, name, Cmd: FOREVER, ExposedPorts: exposed, HostConfig: { PortBindings: bindings } };
    const container = await engine.docker.createContainer(config);
    rig.defer(() => container.remove({ force: true }));
    await container.start();
  }

  it("an engine that answers in the words of a full disk, a lost network, a stuck stop, removal or inspect is explained with the advice", async () => {
    const names = {
      space: rig.name("space"),
      stop: rig.name("stop"),
      remove: rig.name("remove"),
      inspect: rig.name("inspect"),
      network: rig.name("network"),
    };
    const ids = new Map<string, string>();
    let isTroubled = false;
    const troubles: readonly (readonly [path: RegExp, app: string, words: string])[] = [
      [/\/containers\/([^/]+)\/stop/, names.stop, WORDS.STOP_FAILED],
      [/\/containers\/([^/?]+)\?(?!.*json)/, names.remove, WORDS.REMOVE_FAILED],
      [/\/containers\/([^/]+)\/json/, names.inspect, WORDS.INSPECT_FAILED],
    ];
    const proxy = rig.use(
      await EngineProxy.start((path) => {
        const refused = (words: string) => ({ status: 500, body: JSON.stringify({ message: words }) });
        if (path.includes("/containers/create") && path.includes(names.space)) return refused(WORDS.NO_SPACE);
        if (/\/networks\/[^/]+\/connect/.test(path)) return isTroubled ? refused(WORDS.NETWORK_FAILED) : undefined;
        for (const [pattern, app, words] of troubles) if (isTroubled && pattern.exec(path)?.[1] === ids.get(app)) return refused(words);
        return undefined;
      }),
    );
    const runs: AppInit = { dockerImage: IMAGE, command: FOREVER };
    for (const name of Object.values(names)) await rig.api.createApp({ ...runs, name });
    const { engine, worker, group } = await rig.device([names.stop, names.remove, names.inspect], { socket: proxy.socket, instance: newInstance() });
    for (const name of [names.stop, names.remove, names.inspect]) ids.set(name, (await engine.settled(name, 1))[0]?.Id ?? assert.fail(name));
    isTroubled = true;
    for (const name of [names.stop, names.remove]) await rig.api.stopApp(name);
    await rig.api.updateApp(names.inspect, { envVars: { CHANGED: "1" } });
    await rig.api.updateGroup(group, Object.values(names));
    await explains(worker.deviceId, names.space, "NO_SPACE");
    await explains(worker.deviceId, names.stop, "STOP_FAILED");
    await explains(worker.deviceId, names.remove, "REMOVE_FAILED");
    await explains(worker.deviceId, names.network, "NETWORK_FAILED");
    await explains(worker.deviceId, names.inspect, "INSPECT_FAILED");
    isTroubled = false;
  });

  /** The codes that take a release, a restore or minutes to provoke: a sentence of the worker, and the test that has the worker say it. */
  const REPORTED: Readonly<Partial<Record<CodeName, Readonly<{ reason: string; test: string; words: string }>>>> = {
    WORKER_TOO_OLD: {
      reason: "worker_too_old: this worker does not know field 2003; upgrade it. What runs is left as it is",
      test: "common/desired/desired.test.ts",
      words: "worker_too_old.*2003",
    },
    HELD_BACK: {
      reason: "the config has revision 5, older than 7 that container web-1 was made for; it is left as it is until a newer config comes",
      test: "worker/plan/spec-match.test.ts",
      words: "the config has revision 5, older than 7",
    },
    PULL_STALLED: {
      reason: "image registry.example.com/never/arrives:1 showed no progress for 120 s",
      test: "e2e/registries.test.ts",
      words: "showed no progress for 120 s",
    },
    HEALTH_TIMEOUT: {
      reason: "container web-1 is not healthy 32 s after its start",
      test: "worker/plan/health.test.ts",
      words: "container web-1 is not healthy 32 s after its start",
    },
    RUN_FAILED: {
      reason: "the run due at 2026-01-01T00:00:00Z failed: image docker.io/library/fails:9 can't be pulled: no such host",
      test: "worker/plan/memory/cron.test.ts",
      words: "can't be pulled: no such host",
    },
  };

  it("the failures that take minutes, a restore or another release to provoke are explained from what a worker reports of them", async () => {
    const group = rig.name("reported");
    const names = Object.keys(REPORTED).map((code) => ({ code: codeNamed(code), name: nameOf(codeNamed(code)) }));
    for (const { name } of names) await rig.api.createApp({ dockerImage: IMAGE, name });
    await rig.api.createGroup(
      group,
      names.map(({ name }) => name),
    );
    const deviceId = `device-${newInstance()}`;
    const apps = names.map(({ code, name }) => {
      const failed = {
        revision: 1n,
        state: TargetState.FAILED,
        step: "step",
        stepKind: StepKind.PULL,
        tries: 3,
        retryInMs: 60_000n,
        stateForMs: 5000n,
      };
      return { ...failed, name, failureCode: FailureCode[code], reason: REPORTED[code]?.reason ?? "" };
    });
    const report = sampleReport({ deviceId, deviceGroup: group, apps, state: TargetState.FAILED });
    await rig.api.channel.unary(ReportService.method.submitReports, { reports: [report] }, { headers: rig.api.headers });
    await rig.api.reported(deviceId);
    for (const { code, name } of names) {
      const out = await explains(deviceId, name, code);
      const { reason, test, words } = REPORTED[code] ?? assert.fail(code);
      assert.ok(out.includes(reason), out);
      assert.ok(readFileSync(new URL(`../${test}`, import.meta.url), "utf8").includes(words), `${test} has "${words}"`);
    }
  });

  it("the words of engines that the tests answer with have the codes that they stand for", () => {
    const steps = { NO_SPACE: "create", NETWORK_FAILED: "connect", STOP_FAILED: "stop", REMOVE_FAILED: "remove", INSPECT_FAILED: "inspect" } as const;
    for (const code of ["NO_SPACE", "NETWORK_FAILED", "STOP_FAILED", "REMOVE_FAILED", "INSPECT_FAILED"] as const) {
      assert.equal(failureCodeOf(steps[code], { reason: WORDS[code] }), FailureCode[code]);
    }
  });

  it("every code of a failure but OTHER was explained by one of the tests above", () => {
    const all = Object.keys(FailureCode).filter((name) => name !== "UNSPECIFIED" && name !== "OTHER");
    assert.deepEqual(
      all.filter((name) => !explained.has(codeNamed(name))),
      [],
    );
  });
});

function codeNamed(name: string): CodeName {
  for (const known of Object.keys(FailureCode)) if (known === name && isCodeName(known)) return known;
  return assert.fail(name);
}

function isCodeName(name: string): name is CodeName {
  return Object.hasOwn(FailureCode, name) && name !== "UNSPECIFIED" && name !== "OTHER";
}

/** A registry that wants a login for `login`, has `platform` for another platform alone, and nothing else. */
async function startRegistry() {
  const type = "application/vnd.docker.distribution.manifest.list.v2+json";
  const image = { mediaType: "application/vnd.docker.distribution.manifest.v2+json", size: 500, digest: `sha256:${"1".repeat(64)}` };
  const list = JSON.stringify({ schemaVersion: 2, mediaType: type, manifests: [{ ...image, platform: { architecture: "s390x", os: "linux" } }] });
  const server = createServer(({ url = "", method }, response) => {
    if (url.startsWith("/v2/login/")) {
      response.writeHead(401, { "www-authenticate": 'Basic realm="test"', "content-type": "application/json" });
      response.end(JSON.stringify({ errors: [{ code: "UNAUTHORIZED", message: "authentication required" }] }));
    } else if (url.startsWith("/v2/platform/manifests/")) {
      response.writeHead(200, { "content-type": type, "content-length": list.length });
      response.end(method === "HEAD" ? undefined : list);
    } else if (url === "/v2/") {
      response.writeHead(200).end();
    } else {
      response.writeHead(404, { "content-type": "application/json" });
      response.end(JSON.stringify({ errors: [{ code: "MANIFEST_UNKNOWN", message: "manifest unknown" }] }));
    }
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return {
    host: `127.0.0.1:${address !== null && typeof address === "object" ? address.port : 0}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

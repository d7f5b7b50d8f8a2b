import { strict as assert } from "node:assert";
import { access, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { mergeConfig } from "../common/config/merge-config.ts";
import { isNebulaError, NebulaError } from "../common/errors/nebula-error.ts";
import { silentLog } from "../common/log/log.ts";
import { bareSpec } from "../common/testing/bare-spec.ts";
import { type ConfigInit, configOf, perServer } from "../common/testing/config-builder.ts";
import { openLastGood } from "./data/data-folder.ts";
import { DataFolder } from "./data/folder-lock.ts";
import { LABEL } from "./observed/labels.ts";
import { EMPTY_MEMORY } from "./plan/memory/memory.ts";
import type { RuntimeCall } from "./runtime/simulated/simulated.ts";
import { HANGS } from "./runtime/simulated/troubles.ts";
import { arbitraryLeftovers, place } from "./testing/arbitrary-world.ts";
import { Rig, type RigOptions } from "./testing/rig.ts";
import { type Inventory, type PartOutcome, Uninstall, type UninstallOptions } from "./uninstall.ts";

const never = new AbortController().signal;
const CHANGING: readonly RuntimeCall["method"][] = ["stop", "remove", "removeVolume", "removeNetwork"];

type Run = Readonly<{ isDone: boolean; inventory: Inventory; said: readonly string[] }>;
type RunChanges = Partial<Pick<UninstallOptions, "removesVolumes" | "signal">> & Readonly<{ settings?: Partial<UninstallOptions["settings"]> }>;

/** `removed container web-1`, `kept network nebula: container x is on it` */
function lineOf(outcome: PartOutcome): string {
  return outcome.kind === "removed" ? `removed ${outcome.part}` : `${outcome.kind} ${outcome.part}: ${outcome.reason}`;
}

describe("the removal of a worker from its device", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "nebula-uninstall-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  /** A device whose worker made it as a config says and then stopped, with what it left in its data folder. */
  async function deviceOf(init: ConfigInit, options: RigOptions = {}, later: readonly ConfigInit[] = []): Promise<Rig> {
    const rig = new Rig(options);
    await rig.start(init);
    for (const next of later) await rig.apply(next);
    await rig.kill();
    await leaveData(rig, later.at(-1) ?? init);
    return rig;
  }

  async function leaveData(rig: Rig, init: ConfigInit): Promise<void> {
    const merged = mergeConfig(undefined, configOf(init));
    assert.ok(merged.kind === "new_cluster");
    await mkdir(folder, { recursive: true });
    const lastGood = await openLastGood(folder, silentLog);
    await lastGood.saveConfig({ state: merged.state, etag: "", followed: [...rig.followed] });
    await lastGood.saveMemory(rig.kept ?? EMPTY_MEMORY);
    await lastGood.saveDeviceId("till-7");
  }

  /** One run, in which the time passes that anything asks for. */
  async function uninstall(rig: Rig, { settings = {}, ...changes }: RunChanges = {}): Promise<Run> {
    const options: UninstallOptions = {
      settings: { instance: "main", adopt: true, workerDataDir: folder, deviceId: undefined, runtime: "simulated:", ...settings },
      removesVolumes: false,
      clock: rig.clock,
      log: silentLog,
      signal: never,
      runtime: rig.runtime,
      ...changes,
    };
    let isOver = false;
    const run = (async () => {
      await using opened = await Uninstall.open(options);
      const said: string[] = [];
      const isDone = await opened.remove((outcome) => said.push(lineOf(outcome)));
      return { isDone, inventory: opened.inventory, said };
    })().finally(() => {
      isOver = true;
    });
    run.catch(() => {});
    while (!isOver) await rig.clock.advance(500);
    return await run;
  }

  const hasData = () =>
    access(join(folder, "last-good.json")).then(
      () => true,
      () => false,
    );
  const folderExists = () =>
    access(folder).then(
      () => true,
      () => false,
    );
  const networks = async (rig: Rig) => (await rig.runtime.listNetworks(never)).map(({ name }) => name);
  const byHand = (rig: Rig, name: string, networks: readonly string[] = ["bridge"], labels: Readonly<Record<string, string>> = {}) =>
    rig.runtime.create({ name, spec: { ...bareSpec("shop:1"), networks }, labels }, never);

  it("U1, U2: containers of apps and cron_jobs, the network and the data folder are removed, and nothing else is touched", async () => {
    const init: ConfigInit = { apps: { web: { containersPer: perServer(2) }, db: {} }, cronJobs: { job: { schedule: "* * * * *" } } };
    await using rig = new Rig();
    await rig.start(init);
    await rig.pass(60_000, 1000);
    await rig.kill();
    await leaveData(rig, init);
    assert.ok(rig.shown.some((line) => line.startsWith("job-")));
    const other = await byHand(rig, "somebody-elses");
    await rig.runtime.start(other, never);
    const { isDone, inventory, said } = await uninstall(rig);
    assert.equal(isDone, true, said.join("\n"));
    assert.deepEqual(rig.shown, ["somebody-elses running"]);
    assert.deepEqual((await networks(rig)).sort(), ["bridge", "host", "none"]);
    assert.equal(await folderExists(), false);
    assert.deepEqual([inventory.deviceId, inventory.dataFolder, inventory.hasNetwork], ["till-7", folder, true]);
    assert.deepEqual(
      inventory.containers.filter((name) => !name.startsWith("job-")),
      ["db-1", "web-1", "web-2"],
    );
    for (const part of ["container db-1", "container web-1", "container web-2", "network nebula", `data folder ${folder}`])
      assert.ok(said.includes(`removed ${part}`), said.join("\n"));
  });

  it("a second run after one that removed everything finds nothing, and makes no data folder", async () => {
    await using rig = await deviceOf({ apps: { web: {} } });
    assert.equal((await uninstall(rig)).isDone, true);
    const { isDone, inventory, said } = await uninstall(rig);
    assert.deepEqual(
      [isDone, inventory, said],
      [true, { containers: [], foreignCluster: [], hasNetwork: false, dataFolder: undefined, deviceId: undefined }, []],
    );
    assert.equal(await folderExists(), false);
  });

  it("containers are stopped with the grace of their app before they are removed", async () => {
    const app = { stopGraceSeconds: 42 };
    await using rig = await deviceOf({ apps: { web: app, db: {} } }, { behaviour: () => ({ stopMs: 60_000 }) });
    const id = { web: rig.named("web-1").id, db: rig.named("db-1").id };
    const calledAt = new Map<string, number>();
    rig.runtime.before = ({ method, target }) => void calledAt.set(`${method} ${target}`, rig.clock.monotonic());
    assert.equal((await uninstall(rig)).isDone, true);
    const tookMs = (target: string) => (calledAt.get(`remove ${target}`) ?? 0) - (calledAt.get(`stop ${target}`) ?? 0);
    assert.ok(tookMs(id.web) >= 42_000 && tookMs(id.web) < 60_000, `${tookMs(id.web)} ms`);
    assert.ok(tookMs(id.db) >= 10_000 && tookMs(id.db) < 42_000, `${tookMs(id.db)} ms`);
  });

  it("a removal is refused while a worker has the data folder, and removes nothing", async () => {
    await using rig = await deviceOf({ apps: { web: {} } });
    {
      using _ = await DataFolder.open(folder, silentLog);
      await assert.rejects(
        uninstall(rig),
        (error) => isNebulaError(error, "failed_precondition") && /a worker uses the data folder .*: stop it first/.test(error.message),
      );
      assert.deepEqual(rig.shown, ["web-1 running"]);
      assert.equal(await hasData(), true);
    }
    assert.equal((await uninstall(rig)).isDone, true);
  });

  it("a data folder that cannot be locked ends the removal before it began", async () => {
    await using rig = await deviceOf({ apps: { web: {} } });
    const file = join(folder, "file");
    await writeFile(file, "");
    await assert.rejects(uninstall(rig, { settings: { workerDataDir: file } }), /can't be locked/);
    assert.deepEqual(rig.shown, ["web-1 running"]);
  });

  it("U1: containers of a cluster that the data folder never followed stay, and are removed with the setting that takes the cluster over", async () => {
    await using rig = await deviceOf({ cluster: { id: "c2", epoch: 1n }, apps: { theirs: {} } });
    await rig.start({ apps: { mine: {} } }, { keep: false });
    await rig.kill();
    await leaveData(rig, { apps: { mine: {} } });
    const { isDone, inventory } = await uninstall(rig);
    assert.equal(isDone, true);
    assert.deepEqual(rig.shown, ["theirs-1 running"]);
    assert.deepEqual(
      inventory.foreignCluster.map(({ container, clusterId }) => [container.name, clusterId]),
      [["theirs-1", "c2"]],
    );
    assert.equal((await uninstall(rig, { settings: { takeOver: ["c2"] } })).isDone, true);
    assert.deepEqual(rig.shown, []);
  });

  it("U1: containers of another instance stay, and keep the network", async () => {
    await using rig = await deviceOf({ apps: { web: {} } });
    await using other = new Rig({ sharedWith: rig, identity: { instance: "two" } });
    await other.start({ apps: { web: {} } });
    await other.kill();
    assert.deepEqual(rig.shown, ["two-web-1 running", "web-1 running"]);
    const { isDone, said } = await uninstall(rig);
    assert.deepEqual(rig.shown, ["two-web-1 running"]);
    assert.ok(isDone && said.includes("kept network nebula: container two-web-1 is on it"), said.join("\n"));
    assert.ok((await networks(rig)).includes("nebula"));
  });

  it("U1: a copy of a managed container (docker commit) stays, though it has all its labels", async () => {
    await using rig = await deviceOf({ apps: { web: {} } });
    rig.runtime.images.add("docker.io/library/copy:1", 0, rig.named("web-1").labels);
    const copy = await rig.runtime.create({ name: "copy", spec: bareSpec("copy:1"), labels: {} }, never);
    await rig.runtime.start(copy, never);
    assert.equal((await uninstall(rig)).isDone, true);
    assert.deepEqual(rig.shown, ["copy running"]);
  });

  it("U1: the container that the process runs in stays, with the labels of an app, too", async () => {
    await using rig = await deviceOf({ apps: { web: {} } });
    const self = await byHand(rig, "nebula-worker", ["bridge"], rig.named("web-1").labels);
    await rig.runtime.start(self, never);
    rig.runtime.presentAs({ ownContainerId: self });
    assert.equal((await uninstall(rig)).isDone, true);
    assert.deepEqual(rig.shown, ["nebula-worker running"]);
  });

  it("U1: of the containers of the original those are removed that the worker adopted, and those alone", async () => {
    const v2 = { [LABEL.orchestrator]: "nebula", [LABEL.containerType]: "app", [LABEL.appName]: "web" };
    const adoptable = { ...bareSpec("shop:1"), restartPolicy: "unless-stopped" as const, networks: ["nebula", "bridge"] };
    await using rig = new Rig();
    await rig.runtime.createNetwork("nebula", {}, never);
    const id = await rig.runtime.create({ name: "web-1", spec: adoptable, labels: v2 }, never);
    await rig.runtime.connectNetwork(id, "bridge", never);
    await rig.runtime.start(id, never);
    await rig.start({ apps: { web: {} } });
    assert.ok(rig.kept?.adopted.has(id), rig.shown.join());
    await rig.kill();
    const later = await byHand(rig, "web-9", ["bridge"], v2);
    await leaveData(rig, { apps: { web: {} } });
    const { isDone, said } = await uninstall(rig);
    assert.equal(isDone, true);
    assert.deepEqual(
      rig.containers.map((container) => container.id),
      [later],
    );
    assert.ok(said.includes("kept network nebula: it was not made by Nebula"), said.join("\n"));
  });

  it("a network stays while a container is on it that does not run, and is removed once that is gone", async () => {
    await using rig = await deviceOf({ apps: { web: {} } });
    const stopped = await byHand(rig, "stopped", ["nebula"]);
    const { isDone, said } = await uninstall(rig);
    assert.ok(isDone && said.includes("kept network nebula: container stopped is on it"), said.join("\n"));
    await rig.runtime.remove(stopped, { force: false }, never);
    assert.deepEqual((await uninstall(rig)).said, ["removed network nebula"]);
  });

  const withVolumes: RigOptions = { behaviour: (image) => ({ volumes: image.includes("shop") ? ["/data"] : [] }) };
  const changed: readonly [ConfigInit, ConfigInit] = [
    { apps: { web: {}, db: {} } },
    { groupRevision: 2n, apps: { web: { revision: 2n, envVars: { A: "1" } }, db: {} } },
  ];

  it("U4: anonymous volumes stay unless their removal is asked for, those that a container had from one before it, too", async () => {
    for (const removesVolumes of [false, true]) {
      await using rig = await deviceOf(changed[0], withVolumes, [changed[1]]);
      assert.equal(rig.named("web-1").carriedVolumes?.length, 1);
      const before = [...rig.runtime.volumes.names].sort();
      assert.equal(before.length, 2);
      const { isDone } = await uninstall(rig, { removesVolumes });
      assert.deepEqual([isDone, rig.shown], [true, []]);
      assert.deepEqual([...rig.runtime.volumes.names].sort(), removesVolumes ? [] : before);
    }
  });

  it("U4: a volume that another container has by now stays", async () => {
    await using rig = await deviceOf(changed[0], withVolumes, [changed[1]]);
    const { id } = rig.named("web-1");
    const [volume] = rig.named("web-1").carriedVolumes ?? [];
    const successor = await rig.runtime.create({ name: "mine", spec: bareSpec("shop:1"), labels: {}, successorOf: id }, never);
    assert.ok(rig.runtime.volumes.of(successor).some(({ name }) => name === volume));
    assert.equal((await uninstall(rig, { removesVolumes: true })).isDone, true);
    assert.deepEqual([rig.shown, rig.runtime.volumes.names], [["mine created"], [volume]]);
  });

  it("U2, U3: a part that cannot be removed is named with the reason, the others are removed, and a second run resumes", async () => {
    await using rig = await deviceOf({ apps: { web: {}, db: {} } });
    const { id } = rig.named("web-1");
    rig.runtime.trouble = ({ method, target }) =>
      method === "remove" && target === id ? { afterMs: 0, refusal: "driver overlay2 failed to remove it" } : undefined;
    const first = await uninstall(rig);
    assert.equal(first.isDone, false);
    assert.deepEqual(rig.shown, ["web-1 exited"]);
    assert.ok(first.said.includes("failed container web-1: driver overlay2 failed to remove it"), first.said.join("\n"));
    assert.ok(first.said.includes(`kept data folder ${folder}: the next run needs it`));
    assert.ok(first.said.includes("removed container db-1"));
    assert.equal(await hasData(), true);
    rig.runtime.trouble = undefined;
    const second = await uninstall(rig);
    assert.deepEqual([second.isDone, rig.shown, await folderExists()], [true, [], false]);
  });

  it("U3: a container that cannot be inspected is named with the reason and is not touched", async () => {
    await using rig = await deviceOf({ apps: { web: {}, db: {} } });
    const { id } = rig.named("web-1");
    rig.runtime.trouble = ({ method, target }) => (method === "inspectContainer" && target === id ? HANGS : undefined);
    const first = await uninstall(rig);
    assert.equal(first.isDone, false);
    assert.deepEqual(rig.shown, ["web-1 running"]);
    assert.match(first.said.find((line) => line.startsWith("failed")) ?? "", /^failed container web-1: it cannot be inspected: .*did not answer/);
  });

  it("U3: a container whose removal the engine does not finish is named", async () => {
    await using rig = await deviceOf({ apps: { web: {} } });
    rig.runtime.stickInRemoval(rig.named("web-1").id);
    const { isDone, said } = await uninstall(rig);
    assert.equal(isDone, false);
    assert.ok(said.includes("failed container web-1: the engine does not finish its removal"), said.join("\n"));
  });

  it("a container that the engine makes only during the removal, for a worker that was killed, is removed as well", async () => {
    await using rig = await deviceOf({ apps: { web: {} } });
    const { labels } = rig.named("web-1");
    let isMade = false;
    const record = rig.runtime.before;
    rig.runtime.before = async (call) => {
      await record?.(call);
      if (call.method !== "remove" || isMade) return;
      isMade = true;
      await byHand(rig, "web-1.next", ["nebula"], labels);
    };
    const { isDone, said } = await uninstall(rig);
    assert.ok(isMade && isDone);
    assert.deepEqual(rig.shown, []);
    assert.ok(said.includes("removed container web-1.next"));
  });

  it("an engine that goes away ends the removal, and the data folder stays", async () => {
    await using rig = await deviceOf({ apps: { web: {} } });
    rig.runtime.before = ({ method }) => {
      if (method === "remove") rig.runtime.shutDown();
    };
    await assert.rejects(uninstall(rig), (error) => isNebulaError(error, "unavailable"));
    rig.runtime.before = undefined;
    rig.runtime.boot();
    assert.equal(await hasData(), true);
    assert.equal((await uninstall(rig)).isDone, true);
  });

  it("files of others in the data folder stay, and with them the folder", async () => {
    await using rig = await deviceOf({ apps: { web: {} } });
    await writeFile(join(folder, "nebula.db"), "of a server");
    const { isDone, said } = await uninstall(rig);
    assert.equal(isDone, true);
    assert.match(said.at(-1) ?? "", /^kept data folder .*: the files of the worker are removed/);
    assert.deepEqual(await readdir(folder), ["nebula.db"]);
  });

  /** Has the changing call with this number (from 0) fail, or the run killed before it. Answers how many there were. */
  function disturb(rig: Rig, at: number, how: "refused" | "killed", abort: AbortController): () => number {
    let calls = 0;
    rig.runtime.before = ({ method }) => {
      if (!CHANGING.includes(method) || calls++ !== at) return;
      if (how === "refused") throw new NebulaError("failed_precondition", "refused by the engine");
      abort.abort();
      throw new NebulaError("cancelled", "killed");
    };
    return () => calls;
  }

  it("U1 to U4: a run that is refused or killed at any call is completed by the next one, and neither touches what is not the worker's", async function () {
    this.timeout(process.env.NEBULA_TEST_LONG === "1" ? 1_200_000 : 60_000);
    await fc.assert(
      fc.asyncProperty(arbitraryLeftovers, fc.nat(14), fc.constantFrom("refused" as const, "killed" as const), async (leftovers, at, how) => {
        await rm(folder, { recursive: true, force: true });
        folder = await mkdtemp(join(tmpdir(), "nebula-uninstall-"));
        const [before, after] = changed.map((init) => ({ ...init, apps: { shop: init.apps?.web ?? {}, till: init.apps?.db ?? {} } }));
        await using rig = await deviceOf(before ?? {}, withVolumes, after === undefined ? [] : [after]);
        await place(rig.runtime, leftovers);
        const isMine = (name: string) => !leftovers.some((leftover) => leftover.name === name && leftover.owner !== "ours");
        const others = () => rig.containers.filter(({ name }) => isMine(name) === false);
        const theirs = others();
        const abort = new AbortController();
        const calls = disturb(rig, at, how, abort);
        const first = await uninstall(rig, { removesVolumes: true, signal: abort.signal }).catch((error) => {
          assert.ok(how === "killed", error);
          return undefined;
        });
        const isHit = calls() > at;
        assert.ok(isHit || calls() >= 6, `only ${calls()} changing calls in a run without trouble`);
        assert.deepEqual([first?.isDone ?? false, await folderExists()], [!isHit, isHit]);
        rig.runtime.before = undefined;
        const second = await uninstall(rig, { removesVolumes: true });
        assert.deepEqual([second.isDone, await folderExists()], [true, false], second.said.join("\n"));
        assert.deepEqual(others(), theirs);
        assert.deepEqual(rig.containers.length, theirs.length);
        const kept = theirs.flatMap(({ id }) => rig.runtime.volumes.of(id).map(({ name }) => name));
        assert.deepEqual([...rig.runtime.volumes.names].sort(), kept.sort());
        assert.ok(!(await networks(rig)).includes("nebula"));
      }),
      { numRuns: process.env.NEBULA_TEST_LONG === "1" ? 1000 : 20 },
    );
  });
});

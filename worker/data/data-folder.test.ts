import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmod, link, lstat, mkdir, mkdtemp, readdir, readFile, rm, rmdir, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { mergeConfig } from "../../common/config/merge-config.ts";
import type { MergedState } from "../../common/config/merged-state.ts";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { createLog, silentLog } from "../../common/log/log.ts";
import { ConfigSchema } from "../../gen/nebula/v1/config_pb.ts";
import { EMPTY_MEMORY, type KeptMemory } from "../plan/memory/memory.ts";
import { openLastGood } from "./data-folder.ts";
import { type DeviceToken, restoreDeviceToken, storeDeviceToken } from "./device-token.ts";
import { restoreMemory, storeMemory } from "./stored-memory.ts";

function stateOf(revision: bigint): MergedState {
  const app = { name: "web", dockerImage: "busybox:1", envVars: { KEY: "s3cret" } };
  const config = create(ConfigSchema, {
    cluster: { id: "c1", epoch: 3n },
    deviceGroup: "shop",
    groupRevision: revision,
    apps: [{ name: "web", revision, app }],
  });
  const merged = mergeConfig(undefined, config);
  assert.ok(merged.kind === "new_cluster");
  return merged.state;
}

const memory: KeptMemory = {
  pulled: new Map([
    ["web", { image: "docker.io/library/busybox:1", change: "x", restartCount: 2n ** 60n, brought: { kind: "known", id: "sha256:1" }, used: true }],
  ]),
  adopted: new Map([["abc", "1:ff"]]),
  volumes: new Map([["f00", "abc"]]),
  pruned: { cluster: { id: "c1", epoch: 3n }, deviceGroup: "shop", pruneId: 4n },
  imageHistory: new Map([["web", [{ image: "docker.io/library/busybox:1", id: "sha256:1" }]]]),
  applied: { cluster: { id: "c1", epoch: 3n }, revisions: new Map([["app web", 2n ** 60n]]) },
  goneHours: new Map([["web", 7]]),
};

const deviceToken: DeviceToken = {
  deviceId: "device-7",
  confirmed: { token: "t1", deviceGroup: "shop", since: 1_700_000_000_000 },
  previous: undefined,
  pending: { kind: "rotating", secret: "t2" },
};

describe("what a worker keeps on disk", () => {
  let folder = "";
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "nebula-last-good-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it("a saved config is read at the next start", async () => {
    const first = await openLastGood(folder, silentLog);
    assert.deepEqual(first.loaded, { config: undefined, memory: undefined, deviceId: undefined, deviceToken: undefined });
    const state = stateOf(7n);
    for (const outcome of [
      await first.saveConfig({ state, etag: "e7", followed: ["c1"] }),
      await first.saveMemory(memory),
      await first.saveDeviceId("device-7"),
      await first.saveDeviceToken(deviceToken),
    ])
      assert.deepEqual(outcome, { kind: "saved" });
    const { loaded } = await openLastGood(folder, silentLog);
    assert.deepEqual(loaded, { config: { state, etag: "e7", followed: ["c1"] }, memory, deviceId: "device-7", deviceToken });
  });

  it("a saved config knows the cluster that it follows where it was written before followed clusters were kept", async () => {
    await (await openLastGood(folder, silentLog)).saveConfig({ state: stateOf(1n), etag: "e", followed: [] });
    const text = JSON.parse(await readFile(join(folder, "last-good.json"), "utf8"));
    delete text.followed;
    await writeFile(join(folder, "last-good.json"), JSON.stringify(text));
    assert.deepEqual((await openLastGood(folder, silentLog)).loaded.config?.followed, ["c1"]);
  });

  it("a saved config can be read by its owner alone, and leaves nothing else behind", async () => {
    await writeFile(join(folder, "last-good.json.new"), "left by a crash");
    await chmod(join(folder, "last-good.json.new"), 0o666);
    const lastGood = await openLastGood(folder, silentLog);
    await lastGood.saveConfig({ state: stateOf(1n), etag: "", followed: ["c1"] });
    assert.deepEqual(await readdir(folder), ["last-good.json"]);
    assert.equal((await stat(join(folder, "last-good.json"))).mode & 0o777, 0o600);
  });

  it("a saved config is the newest of many, and whole at any time", async () => {
    const lastGood = await openLastGood(folder, silentLog);
    let over = false;
    const reading = (async () => {
      while (!over) {
        const { loaded } = await openLastGood(folder, silentLog);
        assert.ok(loaded.config === undefined || loaded.config.etag === String(loaded.config.state.groupRevision));
      }
    })();
    const saves: Promise<unknown>[] = [];
    for (let n = 1n; n <= 300n; n++) {
      saves.push(lastGood.saveConfig({ state: stateOf(n), etag: String(n), followed: ["c1"] }));
      if (n % 10n === 0n) await saves.at(-1);
    }
    await Promise.all(saves);
    over = true;
    await reading;
    assert.equal((await openLastGood(folder, silentLog)).loaded.config?.etag, "300");
    assert.deepEqual(await readdir(folder), ["last-good.json"], "a damaged one was seen");
  });

  it("a saved config is not written again when it is unchanged", async () => {
    const lastGood = await openLastGood(folder, silentLog);
    await lastGood.saveMemory(memory);
    const before = await stat(join(folder, "memory.json"));
    await lastGood.saveMemory({ ...memory });
    const reopened = await openLastGood(folder, silentLog);
    await reopened.saveMemory(memory);
    assert.equal((await stat(join(folder, "memory.json"))).ino, before.ino);
  });

  for (const [what, text] of Object.entries({
    nothing: "",
    "half a file": '{"format":1,"state":{"clu',
    "JSON of another kind": "[]",
    "a state of a wrong form": '{"format":1,"state":{"clusterId":7},"memory":3}',
  })) {
    it(`a saved config is set aside when it is ${what}, and the worker starts`, async () => {
      const lines: string[] = [];
      const log = createLog({ level: "error", part: "worker", destination: { write: (line) => lines.push(line) } });
      await writeFile(join(folder, "last-good.json"), text);
      const lastGood = await openLastGood(folder, log);
      assert.equal(lastGood.loaded.config, undefined);
      assert.equal(lines.length, 1);
      assert.equal(await readFile(join(folder, "last-good.json.damaged"), "utf8"), text);
      await lastGood.saveConfig({ state: stateOf(1n), etag: "e", followed: ["c1"] });
      assert.equal((await openLastGood(folder, silentLog)).loaded.config?.etag, "e");
    });
  }

  for (const [name, what] of [
    ["last-good.json", "state"],
    ["memory.json", "memory"],
    ["device-token.json", "token"],
  ] as const) {
    it(`a newer format of ${name} ends the start, and the file is left as it is`, async () => {
      const text = JSON.stringify({ format: 2, [what]: {} });
      await writeFile(join(folder, name), text);
      await assert.rejects(openLastGood(folder, silentLog), (error: unknown) => {
        assert.ok(isNebulaError(error, "failed_precondition"));
        assert.equal(
          error.message,
          `invalid data file "${join(folder, name)}": it has format 2, and this worker reads formats up to 1; use the version that wrote it, or a newer one`,
        );
        return true;
      });
      assert.deepEqual(await readdir(folder), [name]);
      assert.equal(await readFile(join(folder, name), "utf8"), text);
    });
  }

  it("a saved config is written through no symlink, and into no file that another user put beside its place", async () => {
    const theirs = join(folder, "theirs");
    await writeFile(theirs, "untouched");
    for (const plant of [(path: string) => symlink(theirs, path), (path: string) => link(theirs, path)]) {
      const data = await mkdtemp(join(folder, "data-"));
      for (const name of ["last-good.json", "memory.json", "device-id", "device-token.json"]) await plant(join(data, `${name}.new`));
      const lastGood = await openLastGood(data, silentLog);
      const outcomes = [
        await lastGood.saveConfig({ state: stateOf(1n), etag: "", followed: ["c1"] }),
        await lastGood.saveMemory(memory),
        await lastGood.saveDeviceId("device-7"),
        await lastGood.saveDeviceToken(deviceToken),
      ];
      assert.deepEqual(outcomes, Array(4).fill({ kind: "saved" }));
      assert.equal(await readFile(theirs, "utf8"), "untouched");
      assert.deepEqual((await readdir(data)).sort(), ["device-id", "device-token.json", "last-good.json", "memory.json"]);
      assert.ok((await lstat(join(data, "last-good.json"))).isFile());
    }
  });

  it("a save in a folder that cannot be written fails, which is reported and ends nothing", async () => {
    await writeFile(join(folder, "file"), "");
    const lastGood = await openLastGood(join(folder, "file", "data"), silentLog);
    assert.deepEqual(lastGood.loaded, { config: undefined, memory: undefined, deviceId: undefined, deviceToken: undefined });
    const outcome = await lastGood.saveConfig({ state: stateOf(1n), etag: "", followed: ["c1"] });
    assert.ok(outcome.kind === "not_saved" && outcome.reason !== "" && !outcome.reason.includes("s3cret"));
    assert.equal(lastGood.failure, outcome.reason);
  });

  if (process.getuid?.() === 0) {
    it("a saved config stays as it was on a disk that is full or turns read-only, and is saved once there is room", async () => {
      const run = promisify(execFile);
      await run("mount", ["-t", "tmpfs", "-o", "size=64k", "nebula-test", folder]);
      try {
        const lastGood = await openLastGood(folder, silentLog);
        assert.equal((await lastGood.saveConfig({ state: stateOf(1n), etag: "e1", followed: ["c1"] })).kind, "saved");
        await writeFile(join(folder, "filler"), Buffer.alloc(1024 * 1024)).catch(() => {});
        const full = await lastGood.saveConfig({ state: stateOf(2n), etag: "e2", followed: ["c1"] });
        assert.ok(full.kind === "not_saved" && full.reason.includes("ENOSPC"));
        assert.equal((await openLastGood(folder, silentLog)).loaded.config?.etag, "e1");
        await rm(join(folder, "filler"));
        await run("mount", ["-o", "remount,ro", folder]);
        assert.equal((await lastGood.saveAgain()).kind, "not_saved");
        await run("mount", ["-o", "remount,rw", folder]);
        assert.equal((await lastGood.saveAgain()).kind, "saved");
        assert.equal((await openLastGood(folder, silentLog)).loaded.config?.etag, "e2");
      } finally {
        await run("umount", [folder]);
      }
    });
  }

  it("a config is saved once the disk accepts it, without a new change", async () => {
    const lastGood = await openLastGood(folder, silentLog);
    await mkdir(join(folder, "last-good.json")); // nothing can be renamed over a folder
    assert.equal((await lastGood.saveConfig({ state: stateOf(1n), etag: "e1", followed: ["c1"] })).kind, "not_saved");
    assert.equal((await lastGood.saveMemory(memory)).kind, "saved");
    assert.equal((await lastGood.saveAgain()).kind, "not_saved");
    await rmdir(join(folder, "last-good.json"));
    assert.equal((await lastGood.saveAgain()).kind, "saved");
    assert.equal(lastGood.failure, undefined);
    assert.equal((await openLastGood(folder, silentLog)).loaded.config?.etag, "e1");
  });

  it("a worker starts without a saved config that cannot be read", async () => {
    await mkdir(join(folder, "last-good.json"));
    assert.equal((await openLastGood(folder, silentLog)).loaded.config, undefined);
  });
});

describe("the kept memory", () => {
  const pulled = fc.record({
    image: fc.string(),
    change: fc.string(),
    restartCount: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    brought: fc.oneof(
      fc.record({ kind: fc.constant("known" as const), id: fc.string() }),
      fc.constant({ kind: "unknown" as const, present: undefined, isFirst: false }),
    ),
    used: fc.boolean(),
  });
  const entries = <T>(value: fc.Arbitrary<T>) => fc.array(fc.tuple(fc.string(), value)).map((list) => new Map(list));
  const number = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  const cluster = fc.record({ id: fc.string(), epoch: number });
  const applied = fc.record({ cluster, revisions: entries(number) });
  const pruned = fc.record({ cluster, deviceGroup: fc.string(), pruneId: number });
  const kept = fc.record({
    pulled: entries(pulled),
    adopted: entries(fc.string()),
    volumes: entries(fc.string()),
    pruned: fc.option(pruned, { nil: undefined }),
    applied: fc.option(applied, { nil: undefined }),
    imageHistory: entries(fc.array(fc.record({ image: fc.string(), id: fc.string() }))),
    goneHours: entries(fc.nat()),
  });

  it("the kept memory is read back from JSON as it was", () => {
    fc.assert(
      fc.property(kept, (value) => {
        const back = restoreMemory(JSON.parse(JSON.stringify(storeMemory(value))));
        assert.deepEqual(back, structuredClone(value));
      }),
    );
  });

  it("the kept memory leaves out a failed pull that an older worker counted as one that succeeded", () => {
    const entry = { image: "docker.io/library/busybox:1", change: "x", restartCount: "0", used: true };
    const restored = restoreMemory({
      pulled: [
        ["app a", { ...entry, note: "the image on the device was used" }],
        ["app b", entry],
      ],
    });
    assert.deepEqual([...restored.pulled.keys()], ["app b"]);
  });

  it("the kept memory is read from any JSON", () => {
    const { pulled: noPulls, adopted, volumes, imageHistory, goneHours } = EMPTY_MEMORY;
    assert.deepEqual(restoreMemory(null), { pulled: noPulls, adopted, volumes, pruned: undefined, applied: undefined, imageHistory, goneHours });
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        restoreMemory(value);
        restoreMemory({
          pulled: [[value, value], value],
          adopted: value,
          volumes: [[value, "a"], value],
          pruned: value,
          applied: value,
          imageHistory: [["a", value]],
          goneHours: [["a", value]],
        });
      }),
    );
  });
});

describe("the kept device token", () => {
  const text = fc.string();
  const confirmed = fc.option(fc.record({ token: text, deviceGroup: text, since: fc.nat() }), { nil: undefined });
  const previous = fc.option(fc.record({ token: text, deviceGroup: text, since: fc.nat() }), { nil: undefined });
  const pending = fc.option(fc.record({ kind: fc.constantFrom("enrolling" as const, "rotating" as const), secret: text }), { nil: undefined });
  const kept = fc
    .record({ deviceId: text, confirmed, previous, pending })
    .filter((token) => token.confirmed !== undefined || token.pending?.kind !== "rotating");

  it("the kept device token is read back from JSON as it was", () => {
    fc.assert(
      fc.property(kept, (value) => assert.deepEqual(restoreDeviceToken(JSON.parse(JSON.stringify(storeDeviceToken(value)))), structuredClone(value))),
    );
  });

  it("the kept device token does not exist where a part of it is damaged", () => {
    for (const damaged of [null, 7, {}, { deviceId: "d", confirmed: {} }, { deviceId: "d", pending: { kind: "rotating", secret: "s" } }])
      assert.equal(restoreDeviceToken(damaged), undefined);
    fc.assert(fc.property(fc.jsonValue(), (value) => void restoreDeviceToken({ deviceId: "d", confirmed: value, pending: value })));
  });
});

import { strict as assert } from "node:assert";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { create, fromBinary } from "@bufbuild/protobuf";
import { encodeCanonical } from "../../../../common/config/canonical-encoding.ts";
import { rotateBody } from "../../../../common/keys/rotate-secrets.ts";
import { openSecretEnvVars, sealSecretEnvVars } from "../../../../common/secrets/secret-env-vars.ts";
import { deriveSecretKeys } from "../../../../common/secrets/secret-keys.ts";
import type { StoredEntity } from "../../../../common/storage/config-store.ts";
import { openSqliteConfigStore } from "../../../../common/storage/sqlite/config-store.ts";
import { lockFolder } from "../../../../common/storage/sqlite/folder-lock.ts";
import { endWithTests } from "../../../../common/testing/end-with-tests.ts";
import { eventually } from "../../../../common/testing/eventually.ts";
import { readHistory } from "../../../../common/testing/read-all.ts";
import { AppSchema } from "../../../../gen/nebula/v1/app_pb.ts";

const NEBULA = fileURLToPath(new URL("../../../nebula.js", import.meta.url));
const OLD = "the old cluster key";

describe("nebula migrate --new-cluster-key", function () {
  this.timeout(120_000);
  let data: string;
  beforeEach(async () => {
    data = await mkdtemp(join(tmpdir(), "nebula-turn-"));
    await writeFile(join(data, "cluster-key"), `${OLD}\n`, { mode: 0o600 });
  });
  afterEach(() => rm(data, { recursive: true, force: true }));

  const keyNow = () => readFileSync(join(data, "cluster-key"), "utf8").trim();
  const path = () => join(data, "nebula.db");

  /** Fills the store with `apps` apps of `revisions` revisions, each with a value of its own. */
  async function fill(apps: number, revisions: number, filler = ""): Promise<void> {
    await using store = await openSqliteConfigStore({ path: path() });
    const keys = deriveSecretKeys(OLD);
    for (let expected = 0n; expected < revisions; expected++) {
      for (let i = 0; i < apps; i++) {
        const name = `app-${i}`;
        const app = create(AppSchema, { name, envVars: { filler }, secretEnvVars: { TOKEN: secretOf({ name, revision: expected + 1n }) } });
        sealSecretEnvVars(keys, { kind: "app", name }, app.secretEnvVars);
        const change = { deleted: expected % 7n === 6n, action: "update", changedAt: Number(expected), changedBy: "ann" } as const;
        await store.write({ kind: "app", name, expected, revision: expected + 1n, body: encodeCanonical(AppSchema, app), ...change });
      }
    }
  }

  const secretOf = ({ name, revision }: Pick<StoredEntity, "name" | "revision">) => `hunter2 of ${name}@${revision}`;

  /** Every row of the store. */
  async function rows(apps: number): Promise<StoredEntity[]> {
    await using store = await openSqliteConfigStore({ path: path() });
    const found: StoredEntity[] = [];
    for (let i = 0; i < apps; i++) {
      const key = { kind: "app", name: `app-${i}` } as const;
      const newest = await store.get(key);
      found.push(...(newest === undefined ? [] : [newest]), ...(await readHistory(store, key)));
    }
    return found;
  }

  const idsOf = (stored: readonly StoredEntity[]) => {
    const ids = stored.map(({ body }) => fromBinary(AppSchema, body).secretEnvVars.TOKEN?.split(":")[2]);
    return [...new Set(ids)];
  };

  function assertUnder(clusterKey: string, stored: readonly StoredEntity[]): void {
    const keys = deriveSecretKeys(clusterKey);
    for (const one of stored) {
      const { secretEnvVars } = fromBinary(AppSchema, one.body);
      openSecretEnvVars(keys, { kind: "app", name: one.name }, secretEnvVars);
      assert.deepEqual(secretEnvVars, { TOKEN: secretOf(one) });
    }
  }

  function start(env: Readonly<Record<string, string>> = {}, args: readonly string[] = ["migrate", "--new-cluster-key"]): ChildProcess {
    const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("NEBULA_")));
    const options = { env: { ...clean, NEBULA_DATA: data, ...env }, stdio: ["ignore", "pipe", "pipe"] as ["ignore", "pipe", "pipe"] };
    return endWithTests(spawn(process.execPath, [NEBULA, ...args], options));
  }

  async function run(env: Readonly<Record<string, string>> = {}, args?: readonly string[]) {
    const child = start(env, args);
    const [out, errors] = [child.stdout, child.stderr].map((stream) => (stream === null ? undefined : stream.setEncoding("utf8").toArray()));
    await once(child, "close");
    return { code: child.exitCode, out: (await out)?.join("") ?? "", errors: (await errors)?.join("") ?? "" };
  }

  it("a migration to a new cluster key includes entities, tombstones and history, keeps all else, and leaves nothing under the old key", async () => {
    await fill(3, 10);
    const before = await rows(3);
    const { code, out, errors } = await run();
    assert.equal(code, 0, errors);
    assert.match(out, /cluster key with the id \w{8} -> \w{8}: the secret values of 33 rows/);
    const after = await rows(3);
    assert.notEqual(keyNow(), OLD);
    assertUnder(keyNow(), after);
    const rest = (stored: readonly StoredEntity[]) => stored.map((one) => ({ ...one, body: undefined }));
    assert.deepEqual(rest(after), rest(before));
    const files = ["", "-wal"].map((suffix) => (existsSync(path() + suffix) ? readFileSync(path() + suffix, "latin1") : "")).join("");
    assert.ok(!files.includes(`nebula-sealed:1:${deriveSecretKeys(OLD).id}`));
    for (const key of [OLD, keyNow(), "hunter2"]) assert.ok(!`${out}${errors}`.includes(key));
  });

  it("a migration to a new cluster key loses nothing when it is killed at any point, and resumes at the next run", async () => {
    const apps = 20;
    await fill(apps, 60, "x".repeat(10_000));
    const stages: string[] = [];
    let next: string | undefined;
    for (let waitMs = 0; ; waitMs = waitMs * 1.5 + 30) {
      assert.ok(stages.length < 20, "it never ended by itself");
      const child = start();
      const ended = once(child, "close");
      const files = () => child.exitCode !== null || existsSync(join(data, "cluster-key.new"));
      await eventually(files, { everyMs: 2 });
      await Promise.race([delay(waitMs), ended]);
      const finished = child.exitCode === 0;
      child.kill("SIGKILL");
      await ended;

      const stored = await rows(apps);
      assert.equal(idsOf(stored).length, 1, "all or nothing");
      const isOld = idsOf(stored)[0] === deriveSecretKeys(OLD).id;
      if (existsSync(join(data, "cluster-key.new"))) {
        const key = readFileSync(join(data, "cluster-key.new"), "utf8").trim();
        assert.equal(key, next ?? key, "the key to come stays");
        next = key;
        assert.equal(keyNow(), OLD);
        assertUnder(isOld ? OLD : key, stored);
        stages.push(isOld ? "begun" : "rewritten");
      } else {
        assertUnder(keyNow(), stored);
        stages.push("done");
      }
      if (finished || stages.at(-1) === "done") break;
    }
    assert.equal(keyNow(), next ?? keyNow());
    assert.ok(stages.includes("begun"), `it was never killed on the way: ${stages.join()}`);
    assertUnder(keyNow(), await rows(apps));
  });

  it("a migration to a new cluster key resumes with a store that is migrated in part, and with one that is whole", async () => {
    await fill(4, 3);
    const turn = { from: deriveSecretKeys(OLD), to: deriveSecretKeys("the key to come") };
    for (const turned of [
      ["app-1", "app-3"],
      ["app-0", "app-1", "app-2", "app-3"],
    ]) {
      await writeFile(join(data, "cluster-key"), `${OLD}\n`);
      await writeFile(join(data, "cluster-key.new"), "the key to come\n");
      await using store = await openSqliteConfigStore({ path: path() });
      await store.rewriteBodies((stored) => (turned.includes(stored.name) ? rotateBody(turn, stored).body : undefined));
      const { code, errors } = await run();
      assert.equal(code, 0, errors);
      assert.deepEqual([keyNow(), existsSync(join(data, "cluster-key.new"))], ["the key to come", false]);
      assertUnder("the key to come", await rows(4));
    }
  });

  it("a migration to a new cluster key leaves values of the history that no key opens alone, and reports them", async () => {
    await fill(1, 1);
    {
      await using store = await openSqliteConfigStore({ path: path() });
      const app = create(AppSchema, { name: "lost", secretEnvVars: { TOKEN: "gone" } });
      sealSecretEnvVars(deriveSecretKeys("a lost cluster key"), { kind: "app", name: "lost" }, app.secretEnvVars);
      const change = { deleted: false, action: "update", changedAt: 0, changedBy: "ann" } as const;
      const lost = { kind: "app", name: "lost", ...change } as const;
      await store.write({ ...lost, expected: 0n, revision: 1n, body: encodeCanonical(AppSchema, app) });
      await store.write({ ...lost, expected: 1n, revision: 2n, body: encodeCanonical(AppSchema, create(AppSchema, { name: "lost" })) });
    }
    const { code, out, errors } = await run();
    assert.equal(code, 0, errors);
    assert.match(out, / 2 rows .*\nsecret values of older revisions that neither key decrypts, left unchanged: 1\n/);
    assertUnder(keyNow(), await rows(1));
  });

  it("a migration to a new cluster key refuses a backup while it runs: the key of the copy would be unknown", async () => {
    await fill(1, 1);
    await writeFile(join(data, "cluster-key.new"), "the key to come\n");
    const { code, errors } = await run({}, ["backup", "--to", join(data, "copy")]);
    assert.equal(code, 1);
    assert.match(errors, /^nebula: the cluster key is being rotated/);
    assert.equal(existsSync(join(data, "copy")), false);
  });

  it("a migration to a new cluster key takes both keys as settings, and can be repeated without harm", async () => {
    await fill(2, 2);
    const env = { NEBULA_CLUSTER_KEY: OLD, NEBULA_NEW_CLUSTER_KEY: "a key of somebody's own" };
    assert.match((await run(env)).out, / 6 rows .*\nstart every part with the new one as NEBULA_CLUSTER_KEY/);
    assert.match((await run(env)).out, / 0 rows/);
    assertUnder("a key of somebody's own", await rows(2));
    assert.equal(keyNow(), OLD, "no file of the folder is touched");
  });

  it("a migration to a new cluster key refuses a key that is not the store's, and while a server has the folder; then nothing has changed", async () => {
    await fill(2, 2);
    const wrong = await run({ NEBULA_CLUSTER_KEY: "not the cluster key", NEBULA_NEW_CLUSTER_KEY: "a key of somebody's own" });
    assert.equal(wrong.code, 1);
    assert.match(
      wrong.errors,
      /^nebula: secret_env_vars\.TOKEN of app app-0 can't be opened: it was encrypted under the cluster key with the id \w{8}/,
    );
    await writeFile(join(data, "cluster-key"), "not the cluster key\n");
    assert.equal((await run()).code, 1);
    assert.equal(existsSync(join(data, "cluster-key.new")), false, "a server could not start any more");
    await writeFile(join(data, "cluster-key"), `${OLD}\n`);
    using _lock = lockFolder(data);
    const busy = await run();
    assert.equal(busy.code, 1);
    assert.match(busy.errors, /is in use by another Nebula process/);
    assert.equal(existsSync(join(data, "cluster-key.new")), false);
    assertUnder(OLD, await rows(2));
  });
});

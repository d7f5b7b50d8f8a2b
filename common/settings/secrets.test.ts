import { strict as assert } from "node:assert";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isNebulaError } from "../errors/nebula-error.ts";
import { NEXT_CLUSTER_KEY, openClusterKey, openSecrets, SECRET_FILES } from "./secrets.ts";

describe("secrets", () => {
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), "nebula-secrets-"));
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  function settings(change: Partial<Parameters<typeof openSecrets>[0]> = {}): Parameters<typeof openSecrets>[0] {
    return {
      admin: { user: "admin", password: undefined, token: undefined },
      clusterKey: undefined,
      store: "sqlite:",
      dataDir: join(root, "data"),
      authEnabled: true,
      ...change,
    };
  }

  it("are made at the first start, for their owner alone, and kept", async () => {
    const first = await openSecrets(settings());
    const again = await openSecrets(settings());
    assert.deepEqual(first.passwordFile, { path: join(root, "data", SECRET_FILES.adminPassword), made: true });
    assert.deepEqual(again, { ...first, passwordFile: { ...first.passwordFile, made: false } });
    assert.ok(first.adminPassword.length >= 32 && first.clusterKey.length >= 32);
    assert.notEqual(first.adminPassword, first.clusterKey);
    for (const name of await readdir(join(root, "data"))) assert.equal((await stat(join(root, "data", name))).mode & 0o777, 0o600, name);
    assert.deepEqual((await readdir(join(root, "data"))).toSorted(), Object.values(SECRET_FILES).toSorted());
  });

  it("are the same for processes that start at once", async () => {
    const keys = await Promise.all(Array.from({ length: 20 }, () => openClusterKey(settings())));
    assert.equal(new Set(keys).size, 1);
    assert.equal((await readFile(join(root, "data", SECRET_FILES.clusterKey), "utf8")).trim(), keys[0]);
  });

  it("are what was given, and then nothing is kept", async () => {
    const given = settings({ admin: { user: "root", password: "pw", token: "tok" }, clusterKey: "0123456789abcdef", store: "cassandra://h/k" });
    assert.deepEqual(await openSecrets(given), {
      clusterKey: "0123456789abcdef",
      adminPassword: "pw",
      adminToken: "tok",
      passwordFile: undefined,
    });
    assert.deepEqual(await readdir(root), []);
  });

  it("have to be given where several processes share a store", async () => {
    for (const [change, name] of [
      [{ clusterKey: "0123456789abcdef" }, "NEBULA_ADMIN_PASSWORD"],
      [{}, "NEBULA_CLUSTER_KEY"],
    ] as const) {
      await assert.rejects(
        openSecrets(settings({ store: "cassandra://h/k", ...change })),
        (error) => isNebulaError(error, "failed_precondition") && error.message.startsWith(`${name} is needed`),
      );
    }
  });

  it("are not asked for where everybody is admin", async () => {
    const { adminPassword, passwordFile } = await openSecrets(
      settings({ authEnabled: false, store: "cassandra://h/k", clusterKey: "0123456789abcdef" }),
    );
    assert.ok(adminPassword.length >= 32);
    assert.equal(passwordFile, undefined);
  });

  it("are not told while a change of the cluster key is under way, unless it is given", async () => {
    await openSecrets(settings());
    await writeFile(join(root, "data", NEXT_CLUSTER_KEY), "the key to come\n");
    await assert.rejects(
      openClusterKey(settings()),
      (error) => isNebulaError(error, "failed_precondition") && /cluster-key\.new is there.*migrate --new-cluster-key/.test(error.message),
    );
    assert.equal(await openClusterKey(settings({ clusterKey: "0123456789abcdef" })), "0123456789abcdef");
  });

  it("say what is wrong with the folder or the file", async () => {
    await writeFile(join(root, "file"), "");
    await assert.rejects(openSecrets(settings({ dataDir: join(root, "file") })), (error) => isNebulaError(error, "failed_precondition"));
    await openSecrets(settings());
    await writeFile(join(root, "data", SECRET_FILES.clusterKey), "");
    await assert.rejects(openSecrets(settings()), /cluster-key is empty/);
  });
});

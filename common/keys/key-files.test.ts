import { strict as assert } from "node:assert";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isNebulaError } from "../errors/nebula-error.ts";
import { NEXT_CLUSTER_KEY, openClusterKey, openSecrets, SECRET_FILES } from "./key-files.ts";

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

  it("key files are made at the first start, for their owner alone, and kept", async () => {
    const first = await openSecrets(settings());
    const again = await openSecrets(settings());
    assert.deepEqual(first.passwordFile, { path: join(root, "data", SECRET_FILES.adminPassword), made: true });
    assert.deepEqual(again, { ...first, passwordFile: { ...first.passwordFile, made: false } });
    assert.ok(first.adminPassword.length >= 32 && first.clusterKey.length >= 32);
    assert.notEqual(first.adminPassword, first.clusterKey);
    for (const name of await readdir(join(root, "data"))) assert.equal((await stat(join(root, "data", name))).mode & 0o777, 0o600, name);
    assert.deepEqual((await readdir(join(root, "data"))).toSorted(), Object.values(SECRET_FILES).toSorted());
  });

  it("the start fails where the file of the admin's password holds one below 8 bytes, and the error does not repeat it", async () => {
    await openSecrets(settings());
    const path = join(root, "data", SECRET_FILES.adminPassword);
    await writeFile(path, "short77\n");
    await assert.rejects(openSecrets(settings()), (error) => {
      assert.ok(isNebulaError(error, "failed_precondition"));
      assert.ok(error.message.includes(path) && !error.message.includes("short77"), error.message);
      return /too short.*8 bytes or more to it, remove it to have one made, or give NEBULA_ADMIN_PASSWORD/.test(error.message);
    });
    await writeFile(path, "8 bytes!\n");
    assert.equal((await openSecrets(settings())).adminPassword, "8 bytes!");
  });

  it("processes that start at once get the same keys", async () => {
    const keys = await Promise.all(Array.from({ length: 20 }, () => openClusterKey(settings())));
    assert.equal(new Set(keys).size, 1);
    assert.equal((await readFile(join(root, "data", SECRET_FILES.clusterKey), "utf8")).trim(), keys[0]);
  });

  it("keys that are given are used, and no file is kept", async () => {
    const given = settings({ admin: { user: "root", password: "pw", token: "tok" }, clusterKey: "0123456789abcdef", store: "cassandra://h/k" });
    assert.deepEqual(await openSecrets(given), {
      clusterKey: "0123456789abcdef",
      adminPassword: "pw",
      adminToken: "tok",
      passwordFile: undefined,
    });
    assert.deepEqual(await readdir(root), []);
  });

  it("keys have to be given where several processes share a store", async () => {
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

  it("keys of a login are not required where every caller is admin", async () => {
    const { adminPassword, passwordFile } = await openSecrets(
      settings({ authEnabled: false, store: "cassandra://h/k", clusterKey: "0123456789abcdef" }),
    );
    assert.ok(adminPassword.length >= 32);
    assert.equal(passwordFile, undefined);
  });

  it("keys are not read while a rotation of the cluster key is under way, unless the cluster key is given", async () => {
    await openSecrets(settings());
    await writeFile(join(root, "data", NEXT_CLUSTER_KEY), "the key to come\n");
    await assert.rejects(
      openClusterKey(settings()),
      (error) => isNebulaError(error, "failed_precondition") && /cluster-key\.new is there.*migrate --new-cluster-key/.test(error.message),
    );
    assert.equal(await openClusterKey(settings({ clusterKey: "0123456789abcdef" })), "0123456789abcdef");
  });

  it("an error of the folder or the file says what is wrong with it", async () => {
    await writeFile(join(root, "file"), "");
    await assert.rejects(openSecrets(settings({ dataDir: join(root, "file") })), (error) => isNebulaError(error, "failed_precondition"));
    await openSecrets(settings());
    await writeFile(join(root, "data", SECRET_FILES.clusterKey), "");
    await assert.rejects(openSecrets(settings()), /cluster-key is empty/);
  });
});

import assert from "node:assert/strict";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { createLog, silentLog } from "../../common/log/log.ts";
import { fileLogin, parseDockerConfig } from "./docker-config.ts";
import { registryKey } from "./environment.ts";
import { askCredentialHelper } from "./helper.ts";
import { createRegistryLogins } from "./registry-logins.ts";

const HUB = "https://index.docker.io/v1/";

describe("logins to registries", () => {
  let folder = "";
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "nebula-logins-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const auth = (login: string) => ({ auth: Buffer.from(login).toString("base64") });
  const environment = (more: Record<string, string> = {}) => ({ DOCKER_CONFIG: folder, PATH: `${folder}:${process.env.PATH}`, ...more });
  const find = (image: string, more: Record<string, string> = {}) => createRegistryLogins({ env: environment(more), log: silentLog })(image);
  const config = (value: unknown) => writeFile(join(folder, "config.json"), JSON.stringify(value));
  async function helper(name: string, script: string): Promise<void> {
    await writeFile(join(folder, `docker-credential-${name}`), `#!/bin/sh\n${script}\n`);
    await chmod(join(folder, `docker-credential-${name}`), 0o755);
  }

  describe("from REGISTRY_*", () => {
    const login = { REGISTRY_AUTH_USER: "me", REGISTRY_AUTH_PASSWORD: "s3cret" };

    it("a login of REGISTRY_* is for that registry alone, in any form of its name", async () => {
      for (const host of ["r.example:5000", "https://r.example:5000", "https://r.example:5000/v2/", "R.example:5000"]) {
        const expected = { username: "me", password: "s3cret", registry: "r.example:5000" };
        assert.deepEqual(await find("r.example:5000/a:1", { ...login, REGISTRY_HOST: host }), expected);
        assert.equal(await find("busybox:1", { ...login, REGISTRY_HOST: host }), undefined);
        assert.equal(await find("r.example/a:1", { ...login, REGISTRY_HOST: host }), undefined);
      }
    });

    it("a login of REGISTRY_* is for Docker Hub when no registry is named", async () => {
      const expected = { username: "me", password: "s3cret", registry: HUB };
      for (const host of ["https://index.docker.io/v1/", "docker.io", ""])
        assert.deepEqual(await find("me/a", { ...login, REGISTRY_HOST: host }), expected);
      assert.deepEqual(await find("docker.io/library/busybox:1", login), expected);
    });

    it("a login of REGISTRY_* is undefined when v2's skip stands in one of them, or one is missing", async () => {
      for (const name of ["REGISTRY_HOST", "REGISTRY_AUTH_USER", "REGISTRY_AUTH_PASSWORD"])
        assert.equal(await find("me/a", { ...login, [name]: "skip" }), undefined);
      assert.equal(await find("me/a", { REGISTRY_AUTH_USER: "me" }), undefined);
    });

    it("a login of REGISTRY_* is undefined where bytes of it were lost, and the log says so without them", async () => {
      const lines: string[] = [];
      const log = createLog({ level: "info", part: "worker", destination: { write: (line: string) => void lines.push(line) } });
      const logins = (env: Record<string, string>) => createRegistryLogins({ env: environment(env), log });
      const latin1 = Buffer.from("me:p\u00e9sky", "latin1");
      assert.equal(await logins({ REGISTRY_AUTH_USER: "me", REGISTRY_AUTH_PASSWORD: "p\uFFFDsky" })("me/a"), undefined);
      await config({ auths: { "r.example": { auth: latin1.toString("base64") }, "s.example": auth("me:p\u00e9sky") } });
      assert.equal(await logins({})("r.example/a"), undefined);
      assert.deepEqual(await logins({})("s.example/a"), { username: "me", password: "p\u00e9sky", registry: "s.example" });
      assert.deepEqual(
        lines.map((line) => /not UTF-8/.test(JSON.parse(line).reason) && !/sky/.test(line)),
        [true, true],
      );
    });

    it("a login of REGISTRY_* comes before Docker's own", async () => {
      await config({ auths: { "r.example": auth("other:x"), "s.example": auth("third:y") } });
      const env = { ...login, REGISTRY_HOST: "r.example" };
      assert.deepEqual(await find("r.example/a", env), { username: "me", password: "s3cret", registry: "r.example" });
      assert.deepEqual(await find("s.example/a", env), { username: "third", password: "y", registry: "s.example" });
    });
  });

  describe("from Docker's config.json", () => {
    it("logins of Docker's config.json are kept per registry, and read again each time", async () => {
      const logins = createRegistryLogins({ env: environment(), log: silentLog });
      assert.equal(await logins("r.example/a"), undefined);
      await config({ auths: { "https://r.example": auth("a:b:c"), [HUB]: auth("hub:h"), "t.example": { identitytoken: "tok" } } });
      assert.deepEqual(await logins("r.example/a"), { username: "a", password: "b:c", registry: "r.example" });
      assert.deepEqual(await logins("busybox"), { username: "hub", password: "h", registry: HUB });
      assert.deepEqual(await logins("t.example/a"), { identityToken: "tok", registry: "t.example" });
      await config({ auths: {} });
      assert.equal(await logins("r.example/a"), undefined);
    });

    it("logins of Docker's config.json may lie with a helper, one for a registry or one for all", async () => {
      await helper("one", `[ "$1" = get ] && read server; echo '{"ServerURL":"'$server'","Username":"one","Secret":"'$server'"}'`);
      await helper("all", `cat >/dev/null; echo '{"Username":"<token>","Secret":"tok"}'`);
      await config({ credHelpers: { "r.example": "one" }, credsStore: "all" });
      assert.deepEqual(await find("r.example/a"), { username: "one", password: "r.example", registry: "r.example" });
      assert.deepEqual(await find("busybox"), { identityToken: "tok", registry: HUB });
    });

    it("logins of Docker's config.json are those of the file when the helper has none, or fails", async () => {
      await helper("empty", "echo credentials not found in native keychain; exit 1");
      await helper("broken", "exit 2");
      for (const credsStore of ["empty", "broken", "missing", "../evil"]) {
        await config({ credsStore, auths: { "r.example": auth("a:b") } });
        assert.deepEqual(await find("r.example/a"), { username: "a", password: "b", registry: "r.example" });
        assert.equal(await find("s.example/a"), undefined);
      }
    });

    it("logins of Docker's config.json are ignored when the file is damaged, and none of it is logged", async () => {
      const lines: string[] = [];
      const log = createLog({ level: "debug", part: "worker", destination: { write: (line) => lines.push(line) } });
      await writeFile(join(folder, "config.json"), '{"auths":{"r.example":{"auth":"c2VjcmV0OnNlY3JldA==" broken');
      assert.equal(await createRegistryLogins({ env: environment(), log })("r.example/a"), undefined);
      assert.equal(lines.length, 1);
      assert.ok(!lines.join("").includes("c2VjcmV0"));
    });

    it("logins are read from a config.json of any content without an error", () => {
      fc.assert(
        fc.property(fc.jsonValue(), (value) => {
          fileLogin(parseDockerConfig(JSON.stringify(value)), "r.example");
          fileLogin(parseDockerConfig(JSON.stringify({ auths: value, credHelpers: value, credsStore: value })), "r.example");
          fileLogin(parseDockerConfig(JSON.stringify({ auths: { "r.example": value } })), "r.example");
        }),
      );
    });
  });

  it("logins wait for a helper that hangs no longer than the limit", async () => {
    await helper("hangs", "exec sleep 60");
    const answer = await askCredentialHelper({ helper: "hangs", server: "r.example", env: environment(), limitMs: 100 });
    assert.ok(answer.kind === "failed" && answer.reason.includes("100 ms"));
  });

  it("logins do not exist for a text that is not a reference of an image", async () =>
    assert.equal(await find("Not An Image", { REGISTRY_AUTH_USER: "a", REGISTRY_AUTH_PASSWORD: "b" }), undefined));

  it("logins know Docker Hub by all of its names", () => {
    for (const name of ["docker.io", "index.docker.io", HUB, "https://registry-1.docker.io/v2/"]) assert.equal(registryKey(name), "docker.io");
  });
});

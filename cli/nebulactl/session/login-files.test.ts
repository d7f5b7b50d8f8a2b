import { strict as assert } from "node:assert";
import { chmod, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readOriginalLogin, readProfiles, removeOriginalLogin, writeProfiles } from "./login-files.ts";
import { parseOriginalLogin } from "./original-login.ts";
import { NO_PROFILES, parseProfiles, printProfiles, type StoredLogin, withoutProfile, withProfile } from "./profiles.ts";

const base64 = (text: string) => Buffer.from(text).toString("base64");
const byPassword: StoredLogin = {
  server: { protocol: "https", host: "prod", port: 443 },
  credentials: { kind: "password", user: "ci", password: "p:w" },
};
const byToken: StoredLogin = { server: { protocol: "grpc", host: "::1", port: 50051 }, credentials: { kind: "token", token: "t" } };

describe("the original tool's login", () => {
  const file = { username: "root", password: base64("pä ss"), token: "", host: "nebula.example.com", port: 80, protocol: "http" };

  it("the original tool's login is read, with password and token in base64 and empty texts for none", () => {
    assert.deepEqual(parseOriginalLogin(JSON.stringify(file)), {
      server: { protocol: "http", host: "nebula.example.com", port: 80 },
      credentials: { kind: "password", user: "root", password: "pä ss" },
    });
    assert.deepEqual(parseOriginalLogin(JSON.stringify({ ...file, token: base64("tok") })).credentials, { kind: "token", token: "tok" });
    assert.equal(parseOriginalLogin(JSON.stringify({ ...file, username: "", password: "" })).credentials, undefined);
    assert.deepEqual(parseOriginalLogin(JSON.stringify({ ...file, port: "8443", protocol: "https" })).server, {
      protocol: "https",
      host: "nebula.example.com",
      port: 8443,
    });
  });

  it("the original tool's login is read from a host_uri, which stands for host, port and protocol", () => {
    const { host: _, ...rest } = file;
    for (const fields of [
      { ...file, host_uri: "https://nebula.example.com:8443" },
      { ...rest, host_uri: "https://nebula.example.com:8443/" },
    ]) {
      assert.deepEqual(parseOriginalLogin(JSON.stringify(fields)).server, { protocol: "https", host: "nebula.example.com", port: 8443 });
    }
    assert.deepEqual(parseOriginalLogin(JSON.stringify({ ...file, host_uri: "" })).server.host, "nebula.example.com");
    assert.deepEqual(parseOriginalLogin(JSON.stringify({ ...file, host_uri: null, token: null })).server.port, 80);
  });

  it("the original tool's login that cannot be read is an error with what to do", () => {
    for (const text of ["", "[]", "{}", "null", '"x"'])
      assert.throws(() => parseOriginalLogin(text), /~\/\.nebula\.json can't be read.*nebulactl login/);
  });
});

describe("the profiles", () => {
  it("the profiles are read back as they were written", () => {
    const profiles = withProfile(withProfile(NO_PROFILES, "prod", byPassword), "lab", byToken);
    assert.deepEqual(parseProfiles(printProfiles(profiles)), profiles);
    assert.equal(profiles.current, "lab");
    const tlsFiles = { ca: "/etc/ca.pem", clientCert: "/etc/me.pem", clientKey: "/etc/me.key" };
    for (const files of [tlsFiles, { ca: tlsFiles.ca }]) {
      const withTls = withProfile(profiles, "prod", { ...byPassword, tlsFiles: files });
      assert.deepEqual(parseProfiles(printProfiles(withTls)), withTls);
    }
  });

  it("the profiles lose the current one with its login", () => {
    const profiles = withProfile(withProfile(NO_PROFILES, "prod", byPassword), "lab", byToken);
    assert.deepEqual(withoutProfile(profiles, "lab"), { current: undefined, logins: new Map([["prod", byPassword]]) });
    assert.deepEqual(withoutProfile(profiles, "prod").current, "lab");
  });

  it("the profiles that cannot be read are an error with what to do", () => {
    for (const text of ["", "[]", '{"profiles":[]}', '{"profiles":{"a":1}}', '{"profiles":{"a":{}}}'])
      assert.throws(() => parseProfiles(text), /~\/\.nebulactl\.json can't be read/, text);
  });
});

describe("the files of the home folder", () => {
  let home: string;
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), "nebulactl-"));
  });
  afterEach(() => rm(home, { recursive: true }));

  it("the files of the home folder are absent at first", async () => {
    assert.deepEqual(await readProfiles(home), NO_PROFILES);
    assert.equal(await readOriginalLogin(home), undefined);
    assert.equal(await removeOriginalLogin(home), false);
  });

  it("the files of the home folder are read with a warning where others were allowed to read them, and are the owner's alone from then on", async () => {
    const warned: string[] = [];
    const read = () => readProfiles(home, (sentence) => void warned.push(sentence));
    await writeProfiles(home, withProfile(NO_PROFILES, "prod", byPassword));
    await read();
    assert.deepEqual(warned, []);
    await chmod(join(home, ".nebulactl.json"), 0o644);
    const profiles = await read();
    assert.equal(warned.length, 1);
    assert.match(warned[0] ?? "", /^others were allowed to read or write .*\.nebulactl\.json, which holds logins; its mode is 600 now/);
    assert.equal((await stat(join(home, ".nebulactl.json"))).mode & 0o777, 0o600);
    assert.equal(profiles.current, "prod");
    await read();
    assert.equal(warned.length, 1);
  });

  it("the files of the home folder hold the logins for their owner alone, and nothing is left beside them", async () => {
    const profiles = withProfile(NO_PROFILES, "prod", byPassword);
    await writeProfiles(home, NO_PROFILES);
    await writeProfiles(home, profiles);
    assert.deepEqual(await readProfiles(home), profiles);
    assert.equal((await stat(join(home, ".nebulactl.json"))).mode & 0o777, 0o600);
    assert.deepEqual(await readdir(home), [".nebulactl.json"]);
  });

  it("the files of the home folder lose the original's login on demand", async () => {
    await writeFile(join(home, ".nebula.json"), '{"host":"a"}');
    assert.equal(await removeOriginalLogin(home), true);
    assert.deepEqual(await readdir(home), []);
  });
});

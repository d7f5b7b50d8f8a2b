import { strict as assert } from "node:assert";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { NO_PROFILES, type Profiles, type StoredLogin } from "./profiles.ts";
import { type LoginFlags, type LoginSources, resolveLogin } from "./resolve-login.ts";
import { formatServerUrl, readServerUrl } from "./server-url.ts";

const NO_FLAGS: LoginFlags = { server: undefined, profile: undefined, username: undefined, password: undefined, token: undefined };

function stored(url: string, token: string | undefined): StoredLogin {
  return { server: readServerUrl(url, "test"), credentials: token === undefined ? undefined : { kind: "token", token } };
}

const PROFILES: Profiles = {
  current: "prod",
  logins: new Map([
    ["prod", stored("https://prod", "prod-token")],
    ["lab", stored("http://lab:8080", "lab-token")],
  ]),
};
const ORIGINAL = stored("http://old:80", "old-token");

type Setup = { flags?: Partial<LoginFlags>; env?: Record<string, string>; profiles?: Profiles; original?: StoredLogin | undefined };

async function resolve({ flags = {}, env = {}, profiles = PROFILES, original = ORIGINAL }: Setup): Promise<[server: string, secret: string]> {
  const sources: LoginSources = {
    env,
    profiles: async () => profiles,
    original: async () => original,
    askPassword: async (user) => `asked ${user}`,
  };
  const { server, credentials } = await resolveLogin({ ...NO_FLAGS, ...flags }, sources);
  return [
    formatServerUrl(server),
    credentials === undefined ? "none" : credentials.kind === "token" ? credentials.token : `${credentials.user}/${credentials.password}`,
  ];
}

describe("the login of a run", () => {
  it("a run's login finds its server by flag, profile flag, environment, current profile, original login, default", async () => {
    assert.deepEqual(await resolve({ flags: { server: "http://flag:1" }, env: { NEBULA_SERVER: "http://env:1" } }), ["http://flag:1", "none"]);
    assert.deepEqual(await resolve({ flags: { profile: "lab" }, env: { NEBULA_SERVER: "http://env:1" } }), ["http://lab:8080", "lab-token"]);
    assert.deepEqual(await resolve({ env: { NEBULA_SERVER: "http://env:1", NEBULA_PROFILE: "lab" } }), ["http://env:1", "none"]);
    assert.deepEqual(await resolve({ env: { NEBULA_PROFILE: "lab" } }), ["http://lab:8080", "lab-token"]);
    assert.deepEqual(await resolve({}), ["https://prod:443", "prod-token"]);
    assert.deepEqual(await resolve({ profiles: NO_PROFILES }), ["http://old:80", "old-token"]);
    assert.deepEqual(await resolve({ profiles: { ...PROFILES, current: undefined } }), ["http://old:80", "old-token"]);
  });

  it("a run's login expects a server on this machine where no other is named", async () => {
    const sources = { env: {}, profiles: async () => NO_PROFILES, original: async () => undefined, askPassword: async () => "" };
    assert.equal(formatServerUrl((await resolveLogin(NO_FLAGS, sources)).server), "http://127.0.0.1:8080");
  });

  it("a run's login is sent to the server that it was stored for, and to no other", async () => {
    assert.deepEqual(await resolve({ flags: { server: "http://lab:8080" } }), ["http://lab:8080", "lab-token"]);
    assert.deepEqual(await resolve({ flags: { server: "http://lab:8081" } }), ["http://lab:8081", "none"]);
    assert.deepEqual(await resolve({ flags: { server: "http://prod" } }), ["http://prod:80", "none"]);
    assert.deepEqual(await resolve({ env: { NEBULA_SERVER: "http://old" } }), ["http://old:80", "old-token"]);
  });

  it("a run's login takes credentials from flags, then those of --profile, then the environment, then the stored ones", async () => {
    const env = { NEBULA_TOKEN: "env-token", NEBULA_USER: "u", NEBULA_PASSWORD: "p" };
    assert.deepEqual(await resolve({ flags: { token: "t" }, env }), ["https://prod:443", "t"]);
    assert.deepEqual(await resolve({ flags: { username: "me" }, env }), ["https://prod:443", "me/p"]);
    assert.deepEqual(await resolve({ flags: { username: "me", password: "x" }, env }), ["https://prod:443", "me/x"]);
    assert.deepEqual(await resolve({ flags: { profile: "lab" }, env }), ["http://lab:8080", "lab-token"]);
    assert.deepEqual(await resolve({ env }), ["https://prod:443", "env-token"]);
    assert.deepEqual(await resolve({ env: { NEBULA_USER: "u", NEBULA_PASSWORD: "p" } }), ["https://prod:443", "u/p"]);
    assert.deepEqual(await resolve({ env: { NEBULA_TOKEN: "" } }), ["https://prod:443", "prod-token"]);
  });

  it("a run's login asks for the password of a user who gave none", async () => {
    assert.deepEqual(await resolve({ flags: { username: "me" } }), ["https://prod:443", "me/asked me"]);
    assert.deepEqual(await resolve({ env: { NEBULA_USER: "u" } }), ["https://prod:443", "u/asked u"]);
  });

  it("a run's login refuses contradictory flags and unknown names", async () => {
    const refused = (setup: Setup, message: RegExp) =>
      assert.rejects(resolve(setup), (error) => error instanceof NebulaError && message.test(error.message));
    await refused({ flags: { server: "a", profile: "lab" } }, /--server and --profile both name a server/);
    await refused(
      { flags: { profile: "nope" } },
      /profile "nope" not found, known profiles are prod, lab; create it with nebulactl login --profile nope/,
    );
    await refused({ flags: { password: "x" } }, /--password-file without a user; use --username/);
    await refused({ env: { NEBULA_SERVER: "ftp://x" } }, /NEBULA_SERVER "ftp:\/\/x" is not a URL of a server/);
  });

  it("a run's login never repeats a password that stands in a URL", async () => {
    await assert.rejects(
      resolve({ flags: { server: "http://u:secret@host" } }),
      (error: Error) => /carries a login/.test(error.message) && !error.message.includes("secret"),
    );
  });
});

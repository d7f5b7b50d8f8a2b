import { strict as assert } from "node:assert";
import fc from "fast-check";
import { FORWARDED_FOR_HEADER, PART_TOKEN_HEADER, partToken } from "../../common/access/part-token.ts";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { type Authenticate, createAuthenticate } from "./authenticate.ts";
import { ADMIN_RIGHTS } from "./rights.ts";

const CLUSTER_KEY = "key";
const ADMIN = { user: "admin", password: "päss:word", token: "t0ken" };
const LOCAL = { kind: "user", name: "admin", rights: ADMIN_RIGHTS };

function authenticator(options: { enabled?: boolean; token?: string | undefined } = {}): Authenticate {
  const token = "token" in options ? options.token : ADMIN.token;
  return createAuthenticate({ enabled: options.enabled ?? true, clusterKey: CLUSTER_KEY, admin: { ...ADMIN, token } });
}

function headers(values: Record<string, string>) {
  return { header: (name: string) => values[name] };
}

function basic(user: string, password: string): Record<string, string> {
  return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` };
}

const refused = (error: unknown) => isNebulaError(error, "unauthenticated");

describe("authenticate", () => {
  it("knows the local admin by password and by token, as configured or in base64, however the scheme is written", async () => {
    const authenticate = authenticator();
    const valid = [
      basic("admin", "päss:word"),
      { authorization: basic("admin", "päss:word").authorization?.replace("Basic", "bAsIc") ?? "" },
      { authorization: "Bearer t0ken" },
      { authorization: `bearer ${Buffer.from("t0ken").toString("base64")}` },
    ];
    for (const each of [...valid, ...valid]) assert.deepEqual((await authenticate(headers(each), "peer")).principal, LOCAL);
  });

  it("refuses everything else", async () => {
    const authenticate = authenticator();
    const known = new Set(["t0ken", Buffer.from("t0ken").toString("base64")]);
    const credential = fc.oneof(
      fc.constant({}),
      fc
        .tuple(fc.string(), fc.string())
        .filter(([user, password]) => !(user === ADMIN.user && password === ADMIN.password))
        .map(([user, password]) => basic(user, password)),
      fc
        .string()
        .filter((token) => !known.has(token.trim()))
        .map((token) => ({ authorization: `Bearer ${token}` })),
      fc.string().map((text) => ({ authorization: text })),
      fc.constantFrom("admin", "").map((user) => basic(user, "")),
    );
    await fc.assert(fc.asyncProperty(credential, (each) => assert.rejects(async () => authenticate(headers(each), "peer"), refused)));
  });

  it("without a token configured no token is valid, the empty one neither", async () => {
    for (const token of [undefined, ""]) {
      const authenticate = authenticator({ token });
      for (const authorization of ["Bearer ", "Bearer =", "Bearer undefined", "Bearer AA=="]) {
        await assert.rejects(async () => authenticate(headers({ authorization }), "peer"), refused);
      }
    }
  });

  it("believes another part of the cluster, and the address it names, by its token alone", async () => {
    const authenticate = authenticator();
    const token = { [PART_TOKEN_HEADER]: partToken(CLUSTER_KEY) };
    const forwarded = { [FORWARDED_FOR_HEADER]: "192.0.2.7" };
    assert.deepEqual(await authenticate(headers(token), "peer"), { principal: { kind: "part" }, viaPart: true, peer: "peer" });
    const viaGateway = await authenticate(headers({ ...token, ...forwarded, ...basic("admin", "päss:word") }), "peer");
    assert.deepEqual(viaGateway, { principal: LOCAL, viaPart: true, peer: "192.0.2.7" });
    const direct = await authenticate(headers({ ...forwarded, ...basic("admin", "päss:word") }), "peer");
    assert.deepEqual(direct, { principal: LOCAL, viaPart: false, peer: "peer" });
    const foreign = { [PART_TOKEN_HEADER]: partToken("another key") };
    await assert.rejects(async () => authenticate(headers({ ...foreign, ...basic("admin", "päss:word") }), "peer"), refused);
    await assert.rejects(async () => authenticate(headers({ ...token, ...basic("admin", "wrong") }), "peer"), refused);
  });

  it("makes everybody admin where it is off, and still tells parts from others", async () => {
    const authenticate = authenticator({ enabled: false });
    assert.deepEqual(await authenticate(headers({}), "peer"), { principal: LOCAL, viaPart: false, peer: "peer" });
    assert.deepEqual(await authenticate(headers({ [PART_TOKEN_HEADER]: partToken(CLUSTER_KEY) }), "peer"), {
      principal: LOCAL,
      viaPart: true,
      peer: "peer",
    });
  });
});

import { strict as assert } from "node:assert";
import { FORWARDED_FOR_HEADER, PART_TOKEN_HEADER } from "../../common/access/part-token.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { REQUEST_ID_HEADER } from "../../common/rpc/request-id.ts";
import { app, GatewayRig, gatewayFor, LOGIN, urlOf } from "../testing/gateway-fixture.ts";

describe("REST v2 in the gateway", () => {
  const rig = GatewayRig.describe();

  const get = (path: string, headers: Record<string, string> = { authorization: LOGIN }) => fetch(urlOf(rig.gateway, `/api/v2${path}`), { headers });

  it("REST v2 calls a manager as the caller, with its Authorization, its address and the request's id", async () => {
    rig.answers.getApp = async () => ({ app });
    const response = await get("/apps/web", { authorization: LOGIN, [REQUEST_ID_HEADER]: "of-the-caller" });
    assert.equal(response.status, 200);
    const [seen] = rig.manager.seen;
    assert.deepEqual(seen?.metadata.get("authorization"), [LOGIN]);
    assert.deepEqual(seen?.metadata.get(FORWARDED_FOR_HEADER), ["127.0.0.1"]);
    assert.equal(seen?.metadata.get(PART_TOKEN_HEADER).length, 1);
    assert.deepEqual(seen?.metadata.get(REQUEST_ID_HEADER), ["of-the-caller"]);
  });

  const kinds = [
    [new NebulaError("permission_denied", "no"), 403, { access_allowed: false }],
    [new NebulaError("not_found", "no"), 403, { app_exists: false }],
    [new NebulaError("conflict", "others were faster"), 409, { error: "others were faster" }],
    [new NebulaError("unimplemented", "not in this version"), 501, { error: "not in this version" }],
    [new NebulaError("deadline_exceeded", "too late"), 504, { error: "too late" }],
    [new NebulaError("internal", "see the log under X"), 500, { error: "see the log under X" }],
    [new NebulaError("invalid_argument", "as a whole"), 400, { error: "as a whole" }],
    [
      new NebulaError("invalid_argument", "x", { violations: [{ field: "cpus", description: "is too few" }] }),
      400,
      { invalid_parameters: { cpus: "is too few" } },
    ],
  ] as const;
  for (const [error, status, body] of kinds) {
    it(`REST v2 answers ${status} ${JSON.stringify(body)} where a manager answers ${error.kind}`, async () => {
      rig.answers.getApp = () => Promise.reject(error);
      const response = await get("/apps/web");
      assert.deepEqual([response.status, await response.json()], [status, body]);
    });
  }

  it("REST v2 answers 401 as v2 does where a manager does not know the login", async () => {
    rig.answers.getApp = () => Promise.reject(new NebulaError("unauthenticated", "who is this"));
    const response = await get("/apps/web");
    assert.deepEqual([response.status, await response.text()], [401, "Unauthorized Access"]);
    assert.equal(response.headers.get("www-authenticate"), 'Basic realm="nebula"');
  });

  for (const [kind, status] of [
    ["resource_exhausted", 429],
    ["unavailable", 503],
  ] as const) {
    it(`REST v2 answers ${status} with Retry-After where a manager answers ${kind}`, async () => {
      rig.answers.getApp = () => Promise.reject(new NebulaError(kind, "later", { retryAfterMs: 2100 }));
      const told = await get("/apps/web");
      assert.deepEqual([told.status, told.headers.get("retry-after"), await told.json()], [status, "3", { error: "later" }]);
      rig.answers.getApp = () => Promise.reject(new NebulaError(kind, "later"));
      assert.equal((await get("/apps/web")).headers.get("retry-after"), "1");
    });
  }

  it("REST v2 answers 503 where no manager is up, also to requests that the gateway would refuse by itself", async () => {
    const gateway = await gatewayFor([], { stopMs: 100 });
    try {
      for (const path of ["/apps/web", "/nothing"]) {
        const response = await fetch(urlOf(gateway, `/api/v2${path}`), { headers: { authorization: LOGIN } });
        assert.equal(response.status, 503, path);
        assert.ok(Number(response.headers.get("retry-after")) >= 1);
      }
    } finally {
      await gateway.stop();
    }
  });

  it("an Authorization that no call can carry counts as absent", async () => {
    const response = await get("/apps/web", { authorization: "Basic \u00ff" });
    assert.equal(response.status, 401);
    assert.equal(rig.manager.seen.length, 0);
  });
});

import { strict as assert } from "node:assert";
import { ADMIN } from "../cli/nebulactl/testing/test-server.ts";
import { basic, V2Client, type V2Request, type V2Response } from "./v2/v2-client.ts";

const IMAGE = { docker_image: "busybox:1" };
const MEBIBYTE = 1024 * 1024;

/** A path of the document with names in it. */
function filled(path: string): string {
  return path.replaceAll(/\{\w+\}/g, "nothing-here");
}

describe("REST v2: requests of every sort", () => {
  const client = V2Client.describe();

  const isUnauthorized = ({ status, text, headers }: V2Response, what: string) => {
    assert.equal(status, 401, what);
    assert.equal(text, "Unauthorized Access");
    assert.equal(headers.get("www-authenticate"), 'Basic realm="nebula"');
  };
  const failure = ({ status, body }: V2Response, expected: number, matches: RegExp) => {
    assert.equal(status, expected);
    assert.deepEqual(Object.keys(Object(body)), ["error"]);
    assert.match(Object(body).error, matches);
  };

  it("a caller without a login is answered on no path and by no method", async () => {
    for (const { method, path } of client.answers.operations) isUnauthorized(await client.send(method, filled(path), { authorization: null }), path);
    const requests: [string, string, V2Request?][] = [
      ["GET", "/nothing"],
      ["GET", ""],
      ["DELETE", "/status"],
      ["OPTIONS", "/apps"],
      ["POST", "/apps/web", { raw: "no JSON" }],
      ["POST", "/apps/web", { body: [] }],
      ["PUT", "/apps/web/update", { body: {} }],
    ];
    for (const [method, path, request] of requests)
      isUnauthorized(await client.send(method, path, { ...request, authorization: null }), `${method} ${path}`);
  });

  it("a login that is wrong, or unreadable, is refused", async () => {
    for (const authorization of ["Basic !", "Bearer", "Digest x", basic(ADMIN.user, "wrong"), `Bearer ${"x".repeat(43)}`])
      isUnauthorized(await client.send("GET", "/status", { authorization }), authorization);
    isUnauthorized(await client.send("GET", "/nothing", { authorization: `Bearer ${"x".repeat(43)}` }), "a path where nothing is");
  });

  it("a token is taken as it is, and in base64", async () => {
    for (const token of [ADMIN.token, Buffer.from(ADMIN.token).toString("base64")]) {
      const { status, body } = await client.send("GET", "/status", { authorization: `Bearer ${token}` });
      assert.deepEqual([status, body], [200, { api_available: true }]);
    }
  });

  it("a path that does not exist answers 404", async () => {
    for (const path of ["", "/", "/nothing", "/apps/", "/apps/web/unheard", "/apps/web/update/more", "/status/x", "/apps/%ff"])
      failure(await client.send("GET", path), 404, /nothing is at .*openapi\.json/);
  });

  it("a method that is not allowed answers 405, with the allowed ones", async () => {
    const refused = [
      ["DELETE", "/status", "GET, HEAD, OPTIONS"],
      ["PUT", "/apps", "GET, HEAD, OPTIONS"],
      ["GET", "/apps/web/start", "POST, OPTIONS"],
      ["POST", "/users/ann/update", "PUT, PATCH, OPTIONS"],
      ["POST", "/user_groups/crew/update", "PUT, PATCH, OPTIONS"],
      ["PUT", "/apps/web", "POST, GET, DELETE, HEAD, OPTIONS"],
    ] as const;
    for (const [method, path, allowed] of refused) {
      const response = await client.send(method, path);
      failure(response, 405, /is not allowed here/);
      assert.equal(response.headers.get("allow"), allowed);
    }
  });

  it("OPTIONS answers the allowed methods", async () => {
    const { status, headers } = await client.send("OPTIONS", "/apps/web");
    assert.deepEqual([status, headers.get("allow")], [200, "POST, GET, DELETE, HEAD, OPTIONS"]);
  });

  it("HEAD answers as GET does, without the body", async () => {
    const get = await client.send("GET", "/status");
    const head = await client.send("HEAD", "/status");
    assert.equal(head.status, 200);
    assert.equal(head.text, "");
    assert.equal(head.headers.get("content-length"), get.headers.get("content-length"));
    assert.equal((await client.send("HEAD", "/apps/nothing-here")).status, 403);
  });

  it("a body is JSON with any content type, and without one", async () => {
    for (const [name, headers] of [
      ["none", {}],
      ["json", { "content-type": "application/json; charset=utf-8" }],
      ["form", { "content-type": "application/x-www-form-urlencoded" }],
      ["text", { "content-type": "text/plain" }],
    ] as const)
      assert.equal((await client.send("POST", `/apps/typed-${name}`, { body: IMAGE, headers })).status, 200, name);
  });

  it("a body that is not a JSON object answers 400", async () => {
    const nested = (levels: number) => `{"env_vars":${'{"a":'.repeat(levels)}1${"}".repeat(levels)}}`;
    const bodies: [string | Uint8Array<ArrayBuffer>, RegExp][] = [
      ["null", /the body is null/],
      ["[]", /is a list/],
      ["5", /is a number/],
      ['"text"', /is a string/],
      ["true", /is a boolean/],
      ["{", /is not valid JSON/],
      ["docker_image=busybox", /is not valid JSON/],
      [new Uint8Array([0x7b, 0xff, 0x7d]), /is not valid UTF-8/],
      [nested(20), /nested/],
      [nested(10_000), /nested/],
      [`{"a":[${"1,".repeat(200_000)}1]}`, /is too much/],
    ];
    for (const [raw, matches] of bodies)
      for (const [method, path] of [
        ["POST", "/apps/web"],
        ["PUT", "/apps/web/update"],
        ["POST", "/device_groups/shops"],
        ["PATCH", "/user_groups/crew/update"],
      ] as const)
        failure(await client.send(method, path, { raw }), 400, matches);
  });

  it("names that objects are born with are names like others", async () => {
    const raw =
      '{"docker_image":"busybox:1","__proto__":{"privileged":true},"constructor":1,"labels":{"toString":"x"},"env_vars":{"constructor":"y"}}';
    const { status, body } = await client.send("POST", "/apps/born-with", { raw });
    assert.equal(status, 200);
    const { privileged, labels, env_vars } = Object(body);
    assert.equal(JSON.stringify([privileged, labels, env_vars]), '[false,{"toString":"x"},{"constructor":"y"}]');
    assert.equal((await client.send("GET", "/apps/__proto__")).status, 403);
    assert.equal((await client.send("POST", "/apps/web", { raw: '{"docker_image":"busybox:1","env_vars":{"__proto__":"x"}}' })).status, 400);
  });

  it("a body of 5 MiB answers 413, whether the operation takes a body or not", async () => {
    const raw = JSON.stringify({ ...IMAGE, padding: "x".repeat(5 * MEBIBYTE) });
    for (const [method, path] of [
      ["POST", "/apps/web"],
      ["PUT", "/apps/web/update"],
      ["POST", "/apps/web/start"],
    ] as const)
      failure(await client.send(method, path, { raw }), 413, /larger than/);
    isUnauthorized(await client.send("POST", "/apps/web", { raw, authorization: null }), "a large body without a login");
    failure(await client.send("POST", "/nothing", { raw }), 404, /nothing is at/);
  });

  it("a body of an operation that takes none is ignored", async () => {
    await client.send("POST", "/apps/ignoring", { body: IMAGE });
    assert.equal((await client.send("POST", "/apps/ignoring/stop", { raw: "no JSON" })).status, 202);
    assert.equal((await client.send("DELETE", "/apps/ignoring", { raw: "null" })).status, 200);
  });

  it("the OpenAPI document names every operation once, and only existing ones", async () => {
    const { status, body } = await client.send("GET", "/openapi.json");
    assert.equal(status, 200);
    const operations = Object.values(Object(body).paths).flatMap((methods) => Object.values(Object(methods)));
    const ids = operations.map((operation) => Object(operation).operationId);
    assert.equal(new Set(ids).size, ids.length);
    for (const { method, path } of client.answers.operations) {
      const { status: answered } = await client.send(method, filled(path));
      assert.ok(![404, 405].includes(answered), `${method} ${path}: ${answered}`);
    }
  });

  it("too many wrong logins are answered with 429, and the time to come back", async function () {
    this.timeout(60_000);
    const tries = Array.from({ length: 20 }, (_, index) => basic("guessed", `wrong ${index}`));
    const responses = await Promise.all(tries.map((authorization) => client.send("GET", "/status", { authorization })));
    const response = responses.find(({ status }) => status === 429) ?? assert.fail("no login was refused");
    failure(response, 429, /./);
    assert.ok(Number(response.headers.get("retry-after")) >= 1);
    assert.equal((await client.send("GET", "/status")).status, 200, "a credential that is known is not held up");
  });
});

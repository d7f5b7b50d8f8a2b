import { strict as assert } from "node:assert";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { FORWARDED_FOR_HEADER, FORWARDER_TOKEN_HEADER, forwarderToken, PART_TOKEN_HEADER, partToken } from "../common/access/part-token.ts";
import { invalidArgument, NebulaError } from "../common/errors/nebula-error.ts";
import { eventually } from "../common/testing/eventually.ts";
import { Verdict } from "../gen/nebula/v1/access_pb.ts";
import { AppService, CreateAppRequestSchema } from "../gen/nebula/v1/app_pb.ts";
import { app, CLUSTER_KEY, CREATE, errorOf, GatewayRig, type Json, LOGIN, post, raw, urlOf } from "./testing/gateway-fixture.ts";

describe("gateway", () => {
  const rig = GatewayRig.describe();
  const { answers } = rig;

  describe("a call", () => {
    it("a call is JSON by proto's names, zero values included", async () => {
      answers.createApp = async (name) => ({ app: { ...app, name } });
      const response = await post(rig.gateway, CREATE, JSON.stringify({ app: { name: "web", docker_image: "shop:1", env_vars: { A: "1" } } }));
      assert.equal(response.status, 200);
      const { app: created, warnings }: { app?: Json; warnings?: unknown } = await response.json();
      assert.equal(created?.docker_image, "shop:1");
      assert.equal(created?.revision, "1");
      assert.equal(created?.privileged, false);
      assert.deepEqual(created?.starting_ports, []);
      assert.deepEqual(warnings, []);
    });

    it("a call carries the caller's login, address and id, and the part token with them", async () => {
      answers.createApp = async () => ({ app });
      const response = await post(rig.gateway, CREATE, "{}", { "x-request-id": "ci-42", cookie: "a=b", [FORWARDED_FOR_HEADER]: "6.6.6.6" });
      assert.equal(response.headers.get("x-request-id"), "ci-42");
      const { metadata } = rig.manager.seen[0] ?? assert.fail();
      assert.deepEqual(metadata.get("authorization"), [LOGIN]);
      assert.deepEqual(metadata.get(PART_TOKEN_HEADER), [partToken(CLUSTER_KEY)]);
      assert.deepEqual(metadata.get(FORWARDED_FOR_HEADER), ["127.0.0.1"]);
      assert.deepEqual(metadata.get("x-request-id"), ["ci-42"]);
      assert.deepEqual(metadata.get("cookie"), []);
    });

    it("a call without a login gets no part token: alone it would give the caller a part's rights", async () => {
      answers.createApp = async () => ({ app });
      for (const authorization of ["", " "]) await post(rig.gateway, CREATE, "{}", { authorization });
      await fetch(urlOf(rig.gateway, CREATE), {
        method: "POST",
        body: "{}",
        headers: { "content-type": "application/json", [PART_TOKEN_HEADER]: "x" },
      });
      assert.equal(rig.manager.seen.length, 3);
      for (const { metadata } of rig.manager.seen) {
        assert.deepEqual(metadata.get(PART_TOKEN_HEADER), []);
        assert.deepEqual(metadata.get(FORWARDED_FOR_HEADER), ["127.0.0.1"]);
        assert.deepEqual(metadata.get(FORWARDER_TOKEN_HEADER), [forwarderToken(partToken(CLUSTER_KEY))]);
      }
    });

    it("a call with a login that is not text is refused by the gateway", async () => {
      const status = await raw(
        rig.gateway,
        `POST ${CREATE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`,
      );
      assert.match(status, /^HTTP\/1\.1 401 /);
      assert.equal(rig.manager.seen.length, 0);
    });

    it("a call is answered an error with its code, its message, and readable details", async () => {
      answers.createApp = async () => {
        throw invalidArgument([
          { field: "app.name", description: "is empty: give a name" },
          { field: "app.docker_image", description: "is empty: give an image" },
        ]);
      };
      const error = await errorOf(await post(rig.gateway, CREATE, "{}"));
      assert.equal(error.status, 400);
      assert.equal(error.code, "invalid_argument");
      assert.match(error.message, /^app\.name: is empty/);
      const [detail]: Json[] = Array.isArray(error.details) ? error.details : [];
      assert.equal(detail?.type, "google.rpc.BadRequest");
      const { field_violations: violations }: Json = Object(detail?.debug);
      assert.deepEqual(
        (Array.isArray(violations) ? violations : []).map((violation: Json) => [violation.field, violation.description]),
        [
          ["app.name", "is empty: give a name"],
          ["app.docker_image", "is empty: give an image"],
        ],
      );
    });

    it("a call keeps the manager's kind of error", async () => {
      for (const [kind, status, code] of [
        ["not_found", 404, "not_found"],
        ["already_exists", 409, "already_exists"],
        ["conflict", 409, "aborted"],
        ["unauthenticated", 401, "unauthenticated"],
        ["permission_denied", 403, "permission_denied"],
        ["unavailable", 503, "unavailable"],
      ] as const) {
        answers.createApp = async () => {
          throw new NebulaError(kind, `it is ${kind}`);
        };
        const error = await errorOf(await post(rig.gateway, CREATE, "{}"));
        assert.deepEqual([error.status, error.code, error.message], [status, code, `it is ${kind}`]);
      }
      assert.equal(rig.manager.seen.length, 6, "an answer, unavailable included, is never asked for again");
    });

    it("a call that cannot be read is the caller's fault", async () => {
      const bodies: [BodyInit, string][] = [
        ["{", "application/json"],
        ["null", "application/json"],
        ["[]", "application/json"],
        ['{"app": {"colour": "red"}}', "application/json"],
        ['{"app": {"revision": "x"}}', "application/json; charset=utf-8"],
        ["\xff\xff\xff", "application/proto"],
        [Buffer.from([0, 0, 0, 0, 3, 255, 255, 255]), "application/grpc-web+proto"],
      ];
      for (const [body, type] of bodies) {
        const response = await post(rig.gateway, CREATE, body, { "content-type": type });
        if (type.startsWith("application/grpc")) assert.match(Buffer.from(await response.arrayBuffer()).toString("latin1"), /grpc-status: 3/);
        else {
          const error = await errorOf(response);
          assert.deepEqual([error.status, error.code], [400, "invalid_argument"], String(body));
        }
      }
      assert.match((await errorOf(await post(rig.gateway, CREATE, '{"app": {"colour": "red"}}'))).message, /"colour" is unknown/);
      assert.equal(rig.manager.seen.length, 0);
    });

    it("a call in binary may hold fields that are newer than the gateway", async () => {
      answers.createApp = async (name) => ({ app: { ...app, name } });
      const known = toBinary(CreateAppRequestSchema, create(CreateAppRequestSchema, { app }));
      const response = await post(rig.gateway, CREATE, Buffer.concat([known, Buffer.from([0xf8, 0x3f, 1])]), { "content-type": "application/proto" });
      assert.equal(response.status, 200);
    });

    it("a call that is too large is refused, whether or not it says its length", async () => {
      const body = JSON.stringify({ app: { name: "x".repeat(5 * 1024 * 1024) } });
      // fetch sends a stream in chunks, without a length; its types don't know the option that it wants for that
      const headers = { "content-type": "application/json", authorization: LOGIN };
      const chunked = { method: "POST", body: new Blob([body]).stream(), headers, duplex: "half" };
      answers.check = async () => ({ verdict: Verdict.ALLOWED });
      for (const response of [await post(rig.gateway, CREATE, body), await fetch(urlOf(rig.gateway, CREATE), chunked)]) {
        const error = await errorOf(response);
        assert.deepEqual([error.status, error.code], [429, "resource_exhausted"]);
        assert.match(error.message, /4 MiB/);
      }
      assert.deepEqual(new Set(rig.manager.seen.map(({ method }) => method)), new Set(["check"]));
    });

    it("a call above 64 KiB is read only with a login that a manager finds valid", async () => {
      answers.createApp = async (name) => ({ app: { ...app, name } });
      answers.check = async ({ method, authorization }) => {
        assert.equal(method, CREATE);
        return authorization === LOGIN ? { verdict: Verdict.DENIED } : { verdict: Verdict.UNAUTHENTICATED, reason: "no login" };
      };
      const body = JSON.stringify({ app: { name: "web", labels: { a: "x".repeat(100_000) } } });
      const refused = await errorOf(await post(rig.gateway, CREATE, body, { authorization: "Bearer wrong" }));
      assert.deepEqual([refused.status, refused.code, refused.message], [401, "unauthenticated", "no login"]);
      assert.deepEqual(
        rig.manager.seen.map(({ method }) => method),
        ["check"],
      );
      assert.equal((await post(rig.gateway, CREATE, body)).status, 200, "whether the call is permitted is said by the call");
    });

    it("a call that is too large is answered when all of it was sent, also on a connection for one request", async () => {
      const body = "x".repeat(5 * 1024 * 1024);
      answers.check = async () => ({ verdict: Verdict.ALLOWED });
      const head = ["Host: localhost", "Content-Type: application/json", `Content-Length: ${body.length}`, "Connection: close"];
      assert.match(await raw(rig.gateway, `POST ${CREATE} HTTP/1.1\r\n${head.join("\r\n")}\r\n\r\n${body}`), /^HTTP\/1\.1 429 /);
    });

    it("a call with another content type or method is refused with the valid ones", async () => {
      const form = await errorOf(await post(rig.gateway, CREATE, "{}", { "content-type": "application/x-www-form-urlencoded" }));
      assert.equal(form.status, 415);
      assert.match(form.message, /application\/json/);
      const get = await fetch(urlOf(rig.gateway, CREATE));
      assert.equal(get.headers.get("allow"), "POST");
      assert.equal((await errorOf(get)).status, 405);
      const typo = await errorOf(await post(rig.gateway, "/nebula.v1.AppService/CreateApps", "{}"));
      assert.equal(typo.status, 404);
      assert.match(typo.message, /did you mean \/nebula\.v1\.AppService\/CreateApp\?/);
      const elsewhere = await errorOf(await post(rig.gateway, "/api/v1/apps", "{}"));
      assert.equal(elsewhere.status, 404);
      assert.match(elsewhere.message, /\/nebula\.v1\./);
    });

    it("a call that only reads can be a GET", async () => {
      answers.getApp = async () => ({ app });
      const query = `encoding=json&message=${encodeURIComponent('{"name":"web"}')}`;
      const response = await fetch(urlOf(rig.gateway, `/nebula.v1.AppService/GetApp?${query}`), { headers: { authorization: LOGIN } });
      assert.equal(response.status, 200);
    });

    it("a call hands its deadline on, and ends with it", async () => {
      answers.createApp = () => new Promise(() => {});
      const error = await errorOf(await post(rig.gateway, CREATE, "{}", { "connect-timeout-ms": "150" }));
      assert.deepEqual([error.status, error.code], [504, "deadline_exceeded"]);
      const { timeoutMs } = rig.manager.seen[0] ?? assert.fail();
      assert.ok(timeoutMs > 0 && timeoutMs <= 150, `${timeoutMs}`);
    });

    it("a call with an invalid message is refused with the reason, without a value that may be secret", async () => {
      for (const [body, words] of [
        ['{"app": {"secret_env_vars": {"TOKEN": hunter2}}}', /Unexpected token .* is not valid JSON/],
        ['{"app": {"secret_env_vars": {"TOKEN": ["hunter2"]}}}', /secret_env_vars .*map entry "TOKEN": expected string/],
        ['{"app": {"env_vars": {"TOKEN": 20070707}}}', /env_vars .*map entry "TOKEN": expected string/],
        ['{"app": {"secret_env_vars": "hunter2"}}', /secret_env_vars .*expected object/],
        ['{"app": {"running": "hunter"}}', /running .*got "hunter"/],
        ["\xff", /CreateAppRequest/],
      ] as const) {
        const response = await post(rig.gateway, CREATE, body);
        const text = await response.text();
        assert.deepEqual([response.status, /hunter2|20070707/.test(text)], [400, false], text);
        assert.match(text.replaceAll('\\"', '"'), words);
      }
      for (const field of ["password", "password_hash", "token"]) {
        const text = await (await post(rig.gateway, "/nebula.v1.UserService/CreateUser", `{"name": "ann", "${field}": 20070707}`)).text();
        assert.match(text, new RegExp(`CreateUserRequest.${field} from JSON: expected string"`));
      }
    });

    it("a call has a deadline where the caller gave none", async () => {
      answers.createApp = async () => ({ app });
      await post(rig.gateway, CREATE, "{}");
      const { timeoutMs } = rig.manager.seen[0] ?? assert.fail();
      assert.ok(timeoutMs > 50_000 && timeoutMs <= 60_000, `${timeoutMs}`);
    });

    it("a call is cancelled at the manager when the caller disconnects", async () => {
      answers.createApp = () => new Promise(() => {});
      const gone = new AbortController();
      const call = post(rig.gateway, CREATE, "{}", {}, gone.signal);
      await eventually(() => rig.manager.seen.length === 1);
      gone.abort();
      await assert.rejects(call);
      await eventually(() => rig.manager.cancelled === 1);
    });

    it("a call is answered for clients of Connect and of gRPC-Web, in binary and in JSON", async () => {
      answers.createApp = async (name) => ({ app: { ...app, name } });
      const options = { baseUrl: urlOf(rig.gateway), httpVersion: "1.1" } as const;
      for (const transport of [
        createConnectTransport({ ...options, useBinaryFormat: true }),
        createConnectTransport({ ...options, useBinaryFormat: false }),
        createGrpcWebTransport(options),
      ]) {
        const created = await createClient(AppService, transport).createApp({ app: { name: "api" } }, { headers: { authorization: LOGIN } });
        assert.equal(created.app?.name, "api");
        assert.equal(created.app?.revision, 1n);
      }
      answers.createApp = async () => {
        throw new NebulaError("conflict", "somebody was first");
      };
      const failing = createClient(AppService, createGrpcWebTransport(options)).createApp({});
      await assert.rejects(
        failing,
        (error) => error instanceof ConnectError && error.code === Code.Aborted && /somebody was first/.test(error.message),
      );
    });
  });
});

import { strict as assert } from "node:assert";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { NebulaError } from "../common/errors/nebula-error.ts";
import { eventually } from "../common/testing/eventually.ts";
import { ConfigService } from "../gen/nebula/v1/config_pb.ts";
import { errorOf, GatewayRig, LOGIN, linesOf, post, urlOf, WATCH } from "./testing/gateway-fixture.ts";
import type { Answers } from "./testing/stand-in-manager.ts";

describe("gateway", () => {
  const rig = GatewayRig.describe();
  const { answers } = rig;

  describe("a stream", () => {
    /** Answers `first`, then, once released, `second`; and waits for its end after that. */
    function twoConfigs(release: Promise<void>): NonNullable<Answers["watchConfig"]> {
      return async function* (signal) {
        yield { answer: { case: "config", value: { etag: "one" } } };
        await release;
        yield { answer: { case: "config", value: { etag: "two" } } };
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
      };
    }

    it("a stream is read line by line by a client of plain JSON, as it comes, and ends at the manager with its reader", async () => {
      const release = Promise.withResolvers<void>();
      answers.watchConfig = twoConfigs(release.promise);
      const gone = new AbortController();
      const response = await post(rig.gateway, WATCH, '{"device_group": "pos"}', {}, gone.signal);
      assert.equal(response.status, 200);
      assert.equal(response.headers.get("content-type"), "application/x-ndjson");
      const lines = linesOf(response);
      assert.deepEqual((await lines.next()).value, { config: { etag: "one" } });
      release.resolve();
      assert.deepEqual((await lines.next()).value, { config: { etag: "two" } });
      gone.abort();
      await assert.rejects(lines.next());
      await eventually(() => rig.manager.cancelled === 1);
      assert.deepEqual(rig.manager.seen[0]?.metadata.get("authorization"), [LOGIN]);
    });

    it("a stream is read by a client of Connect, and ends at the manager with its reader", async () => {
      const release = Promise.withResolvers<void>();
      answers.watchConfig = twoConfigs(release.promise);
      const client = createClient(ConfigService, createConnectTransport({ baseUrl: urlOf(rig.gateway), httpVersion: "1.1" }));
      const gone = new AbortController();
      const etags: string[] = [];
      const reading = (async () => {
        for await (const { answer } of client.watchConfig({ deviceGroup: "pos" }, { signal: gone.signal })) {
          if (answer.case === "config") etags.push(answer.value.etag);
          release.resolve();
        }
      })();
      await eventually(() => etags.length === 2);
      assert.deepEqual(etags, ["one", "two"]);
      gone.abort();
      await assert.rejects(reading);
      await eventually(() => rig.manager.cancelled === 1);
    });

    it("a stream of requests is refused with where it is served, in each way of calling", async () => {
      for (const type of [
        "application/json",
        "application/proto",
        "application/connect+json",
        "application/connect+proto",
        "application/grpc-web+proto",
      ]) {
        const response = await post(rig.gateway, "/nebula.v1.ConfigService/WatchAndReport", "{}", { "content-type": type });
        const { status, code, message } = await errorOf(response);
        assert.deepEqual([status, code], [501, "unimplemented"], type);
        assert.match(String(message), /stream of requests: call it by gRPC at a manager/);
      }
      assert.deepEqual(rig.manager.seen, []);
    });

    it("a stream fails as any call before its first message, and with a last line after it", async () => {
      answers.watchConfig = async function* () {
        yield* [];
        throw new NebulaError("permission_denied", "not this group");
      };
      assert.deepEqual((await errorOf(await post(rig.gateway, WATCH, "{}"))).status, 403);
      answers.watchConfig = async function* () {
        yield { answer: { case: "unchanged", value: {} } };
        throw new NebulaError("unavailable", "later");
      };
      const lines = await Array.fromAsync(linesOf(await post(rig.gateway, WATCH, "{}")));
      assert.deepEqual(lines, [{ unchanged: {} }, { error: { code: "unavailable", message: "later" } }]);
    });

    it("a stream whose request cannot be read is the caller's fault", async () => {
      for (const body of ["{", '{"colour": 1}', "\xff", "[]"]) {
        const error = await errorOf(await post(rig.gateway, WATCH, body));
        assert.deepEqual([error.status, error.code], [400, "invalid_argument"], body);
      }
      const garbage = Buffer.concat([Buffer.from([0, 0, 0, 0, 2, 255, 255])]);
      const response = await post(rig.gateway, WATCH, garbage, { "content-type": "application/connect+proto" });
      assert.match(Buffer.from(await response.arrayBuffer()).toString("latin1"), /"code":"invalid_argument"/);
      assert.equal(rig.manager.seen.length, 0);
    });

    it("a stream ends at its deadline", async () => {
      answers.watchConfig = twoConfigs(new Promise(() => {}));
      const lines = await Array.fromAsync(linesOf(await post(rig.gateway, WATCH, "{}", { "connect-timeout-ms": "200" })));
      assert.deepEqual(
        lines.map((line) => line.error ?? "message"),
        ["message", { code: "deadline_exceeded", message: Object(lines[1]?.error).message }],
      );
      const tooLong = await errorOf(await post(rig.gateway, WATCH, "{}", { "connect-timeout-ms": "soon" }));
      assert.deepEqual([tooLong.status, tooLong.code], [400, "invalid_argument"]);
    });
  });
});

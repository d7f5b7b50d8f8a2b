import { strict as assert } from "node:assert";
import { fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { Registry } from "prom-client";
import { FORWARDED_FOR_HEADER, PART_TOKEN_HEADER, partToken } from "../../../common/access/part-token.ts";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { createMemoryFeed } from "../../../common/feed/memory-feed.ts";
import { silentLog } from "../../../common/log/log.ts";
import { eventually } from "../../../common/testing/eventually.ts";
import { type CheckRequest, Verdict } from "../../../gen/nebula/v1/access_pb.ts";
import { GetConfigRequestSchema, type WatchConfigResponseSchema } from "../../../gen/nebula/v1/config_pb.ts";
import type { RunningGateway } from "../../main.ts";
import { CLUSTER_KEY, gatewayFor, LOGIN, urlOf } from "../../testing/gateway-fixture.ts";
import { type Answers, StandInManager } from "../../testing/stand-in-manager.ts";

type Told = MessageInitShape<typeof WatchConfigResponseSchema>;

function configOf(revision: bigint): Told {
  const app = { name: "web", revision, dockerImage: "shop:1", envVars: { A: "ä" }, secretEnvVars: { PASSWORD: "hunter2" } };
  const config = {
    cluster: { id: "c", epoch: 1n },
    deviceGroup: "shops",
    groupRevision: revision,
    pruneId: 1n,
    apps: [
      { name: "web", revision, app },
      { name: "gone", revision: 3n },
    ],
    cronJobs: [{ name: "sync", revision: 2n, cronJob: { name: "sync", revision: 2n, schedule: "@daily", dockerImage: "sync:1" } }],
  };
  return { answer: { case: "config", value: { config, etag: `etag-${revision}` } } };
}

/** A manager whose watches tell what the test pushes, and whose verdicts are the test's. */
class Rig implements AsyncDisposable {
  readonly answers: Answers = {};
  readonly checks: CheckRequest[] = [];
  readonly feed = createMemoryFeed({ log: silentLog });
  readonly registry = new Registry();
  verdict: Verdict = Verdict.ALLOWED;
  /** How many watches are open. */
  watches = 0;
  #told: Told[] = [configOf(1n)];
  #wake = Promise.withResolvers<void>();
  #manager: StandInManager | undefined;
  #gateway: RunningGateway | undefined;

  static async start(): Promise<Rig> {
    const rig = new Rig();
    rig.answers.check = async (request) => {
      rig.checks.push(request);
      return { verdict: rig.verdict, reason: "as the test says" };
    };
    rig.answers.watchConfig = (signal) => rig.#watch(signal);
    rig.#manager = await StandInManager.start(rig.answers);
    rig.#gateway = await gatewayFor([rig.#manager], { changeFeed: rig.feed, registry: rig.registry });
    return rig;
  }

  async *#watch(signal: AbortSignal): AsyncGenerator<Told> {
    this.watches++;
    signal.addEventListener("abort", () => this.watches--, { once: true });
    for (let at = Math.max(0, this.#told.length - 1); !signal.aborted; ) {
      const next = this.#told[at];
      if (next === undefined) await this.#wake.promise;
      else {
        at++;
        yield next;
      }
    }
  }

  get manager(): StandInManager {
    return this.#manager ?? assert.fail("the manager is not up");
  }

  tell(told: Told): void {
    this.#told.push(told);
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  poll(headers: Record<string, string> = {}, group = "shops"): Promise<Response> {
    const gateway = this.#gateway ?? assert.fail("the gateway is not up");
    return fetch(urlOf(gateway, `/api/v2/device_groups/${group}/info`), { headers: { authorization: LOGIN, ...headers } });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#gateway?.stop();
    await this.#manager?.[Symbol.asyncDispose]();
  }
}

describe("GET /info", () => {
  it("GET /info answers the whole config in v2's shape: secrets among the variables, without what was deleted", async () => {
    await using rig = await Rig.start();
    const response = await rig.poll();
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("content-type"), "application/json");
    const text = await response.text();
    assert.match(text, /^[\n -~]*$/, "not ASCII alone");
    const info = JSON.parse(text);
    assert.deepEqual([info.apps_list, info.cron_jobs_list, info.prune_id, info.device_group_id], [["web"], ["sync"], 1, 1]);
    assert.equal(info.apps.length, 1);
    const { app_name, app_id, env_vars, networks, secret_env_vars } = info.apps[0];
    assert.deepEqual([app_name, app_id, networks, secret_env_vars], ["web", 1, ["nebula", "bridge"], undefined]);
    assert.deepEqual(env_vars, { A: "ä", PASSWORD: "hunter2" });
    assert.deepEqual([info.cron_jobs[0].cron_job_name, info.cron_jobs[0].schedule], ["sync", "@daily"]);
  });

  it("GET /info answers 304 if the ETag matches, and the new config after a change, from one watch", async () => {
    await using rig = await Rig.start();
    const first = await rig.poll();
    const etag = first.headers.get("etag") ?? "";
    for (const known of [etag, `"other", W/${etag}`, "*"]) {
      const unchanged = await rig.poll({ "if-none-match": known });
      assert.deepEqual([unchanged.status, await unchanged.text(), unchanged.headers.get("etag")], [304, "", etag]);
    }
    rig.tell(configOf(2n));
    await eventually(async () => (await rig.poll({ "if-none-match": etag })).status === 200);
    const changed = await rig.poll();
    assert.notEqual(changed.headers.get("etag"), etag);
    const seen = rig.manager.seen.filter(({ method }) => method === "watchConfig");
    assert.equal(seen.length, 1);
    assert.equal(seen[0]?.metadata.get(PART_TOKEN_HEADER)[0], partToken(CLUSTER_KEY));
    assert.equal(seen[0]?.metadata.get("authorization").length, 0);
  });

  it("GET /info asks a manager whether a read of the group's config would be permitted, once for all polls of a credential, and names the address that polls", async () => {
    await using rig = await Rig.start();
    const answers = await Promise.all(Array.from({ length: 20 }, () => rig.poll()));
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
    assert.equal(rig.checks.length, 1);
    const [check] = rig.checks;
    assert.deepEqual([check?.authorization, check?.method], [LOGIN, "/nebula.v1.ConfigService/GetConfig"]);
    assert.equal(fromBinary(GetConfigRequestSchema, check?.request ?? new Uint8Array()).deviceGroup, "shops");
    const [asked] = rig.manager.seen.filter(({ method }) => method === "check");
    assert.equal(asked?.metadata.get(FORWARDED_FOR_HEADER)[0], "127.0.0.1");
    await rig.poll({ authorization: "Bearer another" });
    assert.equal(rig.checks.length, 2);
  });

  it("GET /info refuses as v2 does, and gives a refused caller nothing of the memory", async () => {
    await using rig = await Rig.start();
    await rig.poll();
    rig.verdict = Verdict.UNAUTHENTICATED;
    const anonymous = await rig.poll({ authorization: "" });
    assert.deepEqual([anonymous.status, await anonymous.text()], [401, "Unauthorized Access"]);
    assert.equal(anonymous.headers.get("www-authenticate"), 'Basic realm="nebula"');
    rig.verdict = Verdict.DENIED;
    const denied = await rig.poll({ authorization: "Bearer denied" });
    assert.deepEqual([denied.status, await denied.json()], [403, { access_allowed: false }]);
    assert.equal((await rig.poll()).status, 200, "who was known is not refused for somebody else");
  });

  it("GET /info answers that there is no such group, and does not count it by name", async () => {
    await using rig = await Rig.start();
    await rig.poll();
    rig.tell({ answer: { case: "noSuchGroup", value: {} } });
    await eventually(async () => (await rig.poll()).status === 403);
    const refused = await rig.poll();
    assert.deepEqual(await refused.json(), { device_group_exists: false });
    const invalid = await rig.poll({}, encodeURIComponent("no name"));
    assert.deepEqual([invalid.status, await invalid.json()], [403, { device_group_exists: false }]);
    rig.tell(configOf(4n));
    await eventually(async () => (await rig.poll()).status === 200);
  });

  it("GET /info checks access again within a second of a change", async () => {
    await using rig = await Rig.start();
    await rig.poll();
    rig.verdict = Verdict.DENIED;
    assert.equal((await rig.poll()).status, 200);
    await rig.feed.publish({ kind: "access", subject: "user/admin" });
    await eventually(async () => (await rig.poll()).status === 403, { timeoutMs: 1000 });
  });

  it("GET /info answers that too many logins failed, and when to retry", async () => {
    await using rig = await Rig.start();
    rig.answers.check = async () => {
      throw new NebulaError("resource_exhausted", "too many failed logins", { retryAfterMs: 4000 });
    };
    const response = await rig.poll();
    assert.deepEqual([response.status, response.headers.get("retry-after")], [429, "4"]);
  });

  it("GET /info opens its watch again where a manager ended it, with the etag that it holds, and never goes backwards", async () => {
    await using rig = await Rig.start();
    await rig.poll();
    rig.tell(configOf(5n));
    await eventually(async () => Object(await (await rig.poll()).json()).device_group_id === 5);
    rig.tell({ answer: { case: "redirect", value: { address: "", retryAfterMs: 1 } } });
    rig.tell(configOf(4n)); // of a manager whose cache is older
    await eventually(() => rig.manager.seen.filter(({ method }) => method === "watchConfig").length === 2);
    await eventually(() => rig.watches === 1);
    assert.equal(Object(await (await rig.poll()).json()).device_group_id, 5);
  });

  it("GET /info counts polls by the group, answered at once or not", async () => {
    await using rig = await Rig.start();
    for (let n = 0; n < 5; n++) await rig.poll();
    await rig.poll({ "if-none-match": "*" });
    const text = await rig.registry.metrics();
    assert.match(text, /nebula_v2_info_polls_total\{device_group="shops"\} 6\n/);
    assert.match(text, /nebula_http_requests_total\{route="\/api\/v2\/device_groups\/\{device_group\}\/info",status="304"\} 1\n/);
    assert.match(text, /nebula_http_requests_total\{route="\/api\/v2\/device_groups\/\{device_group\}\/info",status="200"\} 5\n/);
  });

  it("GET /info continues from memory while an authorisation is known, and is unavailable after that, when the managers are gone", async function () {
    this.timeout(20_000);
    await using rig = await Rig.start();
    await rig.poll();
    await rig.manager[Symbol.asyncDispose]();
    await eventually(() => rig.watches === 0);
    assert.equal((await rig.poll()).status, 200);
    await eventually(async () => (await rig.poll()).status === 503, { timeoutMs: 15_000 });
  });
});

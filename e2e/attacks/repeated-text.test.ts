import { strict as assert } from "node:assert";
import { type DescField, type DescMessage, type DescMethod, fromJson, type JsonObject, type JsonValue, toBinary } from "@bufbuild/protobuf";
import { mapLimited } from "../../common/map-limited.ts";
import { pathOf } from "../../common/rpc/service-definition.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { LONGEST_REPEATED } from "../../common/text/wording.ts";
import { API_SERVICES } from "../../gateway/api/forwarder.ts";
import { WatchAndReportRequestSchema, WatchConfigRequestSchema } from "../../gen/nebula/v1/config_pb.ts";
import { SubmitReportsRequestSchema } from "../../gen/nebula/v1/report_pb.ts";
import { UserService } from "../../gen/nebula/v1/user_pb.ts";
import { RawClient } from "../../manager/testing/raw-client.ts";
import { ReportingWatch, watchRequest } from "../../manager/testing/reporting-watch.ts";
import { Server } from "../harness/server.ts";
import { GrpcDoor } from "../malformed/doors.ts";

/** A name but for its length, so that nothing refuses it sooner. */
const TEXT = "q".repeat(20_000);
const TOO_MUCH = "q".repeat(LONGEST_REPEATED + 1);

/** Requests under way at a time. */
const AT_ONCE = 8;

const METHODS: readonly DescMethod[] = API_SERVICES.flatMap(({ methods }) => methods).filter(({ methodKind }) => methodKind === "unary");

/** Requests with the text in one place each: as a value of every field and as a key of every map, right in type and wrong. */
function* requests(desc: DescMessage, depth = 3): Generator<JsonObject> {
  yield { [TEXT]: 1 };
  for (const field of desc.fields) for (const value of values(field, depth)) yield { [field.name]: value };
}

function* values(field: DescField, depth: number): Generator<JsonValue> {
  yield TEXT;
  yield { [TEXT]: TEXT };
  yield [TEXT];
  if (depth === 0) return;
  if (field.fieldKind === "message") yield* requests(field.message, depth - 1);
  if (field.fieldKind === "list" && field.listKind === "message") for (const inner of requests(field.message, depth - 1)) yield [inner];
  if (field.fieldKind === "map") yield { a: TEXT };
}

/** Every request to every method, `depth` messages deep. */
function requestsOf(depth: number): readonly Readonly<{ method: DescMethod; request: JsonObject }>[] {
  return METHODS.flatMap((method) => Array.from(requests(method.input, depth), (request) => ({ method, request })));
}

/** Sends all, some at a time, and fails where an answer repeats more of the text than its beginning; answers the statuses. */
async function repeating<T extends Readonly<{ method: Readonly<{ name: string }>; request: JsonObject }>>(
  all: readonly T[],
  send: (one: T) => Promise<Readonly<{ status: number; text: string }>>,
): Promise<number[]> {
  const answers = await mapLimited(all, AT_ONCE, async (one) => ({ ...(await send(one)), one }));
  const wrong = answers
    .filter(({ text }) => text.includes(TOO_MUCH))
    .map(({ one, text }) => `${one.method.name} ${JSON.stringify(one.request).replaceAll(/q{20,}/g, "TEXT")}: ${text.slice(0, 200)}`);
  assert.deepEqual(wrong, []);
  return answers.map(({ status }) => status);
}

describe("a caller's long text", function () {
  this.timeout(180_000);
  let server: Server;
  Server.forSuite({ env: { NEBULA_LOG_LEVEL: "error" } }, async (started) => {
    server = started;
    await server.api.createGroup("pos", []);
  });

  const post = async (path: string, body: string, headers: Readonly<Record<string, string>> = {}, method = "POST") => {
    const login = { authorization: server.api.headers.authorization ?? "", "content-type": "application/json" };
    const response = await fetch(server.url + path, { method, body, headers: { ...login, ...headers } });
    return { status: response.status, text: `${await response.text()} ${JSON.stringify([...response.headers])}` };
  };

  it("a long text is repeated by no answer of the API beyond its beginning, in any field", async () => {
    const statuses = await repeating(requestsOf(3), ({ method, request }) => post(pathOf(method), JSON.stringify(request)));
    assert.ok(statuses.filter((status) => status >= 400).length > 500, String(statuses.length));
  });

  it("a long text is repeated by no refusal of a caller without rights beyond its beginning", async () => {
    const { channel, headers } = server.api;
    const password = "a long password";
    await channel.unary(UserService.method.createUser, { name: "ann", password }, { headers });
    const authorization = `Basic ${Buffer.from(`ann:${password}`).toString("base64")}`;
    const statuses = await repeating(requestsOf(1), ({ method, request }) => post(pathOf(method), JSON.stringify(request), { authorization }));
    assert.ok(statuses.filter((status) => status === 403).length > 50, String(statuses.length));
  });

  it("a long text is repeated by no status of gRPC beyond its beginning", async () => {
    using door = new GrpcDoor(server.grpcPort);
    const binary = requestsOf(3).flatMap((item) => {
      try {
        return [{ ...item, bytes: toBinary(item.method.input, fromJson(item.method.input, item.request)) }];
      } catch {
        return []; // only JSON can say it
      }
    });
    const statuses = await repeating(binary, async ({ method, bytes }) => {
      const head = Buffer.alloc(5);
      head.writeUInt32BE(bytes.length, 1);
      const headers = { authorization: server.api.headers.authorization ?? "" };
      const { grpcStatus = -1, text } = await door.send(pathOf(method), headers, Buffer.concat([head, bytes]));
      return { status: grpcStatus, text };
    });
    assert.ok(statuses.filter((status) => status !== 0).length > 100, String(statuses.length));
  });

  it("a long text is repeated by no answer on the stream of a watch beyond its beginning, in any field of either request", async () => {
    const encoded = (kind: "watch" | "reports", desc: DescMessage) =>
      Array.from(requests(desc)).flatMap((request) => {
        try {
          return [toBinary(WatchAndReportRequestSchema, fromJson(WatchAndReportRequestSchema, { [kind]: request }))];
        } catch {
          return []; // only JSON can say it
        }
      });
    await using client = new RawClient(server.grpcPort);
    const login = { authorization: server.api.headers.authorization ?? "" };
    const texts: string[] = [];
    const watches = encoded("watch", WatchConfigRequestSchema);
    for (const request of watches) {
      const watch = new ReportingWatch(client, login).send(request);
      await eventually(() => watch.status !== undefined || watch.heard.length > 0, { everyMs: 1 });
      texts.push(watch.message);
      watch.stream.close();
    }
    const reports = encoded("reports", SubmitReportsRequestSchema);
    const watch = new ReportingWatch(client, login).send(watchRequest({ deviceGroup: "pos" }));
    watch.send(...reports);
    await eventually(() => watch.reported.length === reports.length, { timeoutMs: 60_000 });
    texts.push(...watch.reported.map(({ message }) => message));
    assert.deepEqual(
      texts.filter((text) => text.includes(TOO_MUCH)).map((text) => text.slice(0, 200)),
      [],
    );
    assert.ok(watches.length > 3 && watch.reported.filter(({ code }) => code !== 0).length > 20, `${watches.length} and ${reports.length}`);
  });

  it("a long text is repeated by no answer beyond its beginning from headers and paths", async () => {
    const [long, list] = ["q".repeat(10_000), "/nebula.v1.AppService/ListApps"];
    const answers = [
      await post(`/${long}`, "{}"),
      await post(`/nebula.v1.AppService/${long}`, "{}"),
      await post(`/api/v2/${long}`, "{}"),
      await post(`/api/v2/apps/${long}`, "{}"),
      await post(`/api/v2/reports?page_size=${long}`, "{}"),
      await post(list, "{}", { "connect-timeout-ms": long }),
      await post(list, "{}", { "connect-protocol-version": long }),
      await post(list, "{}", { "content-encoding": long }),
      await post(list, "{}", { "content-type": `application/${long}` }),
      await post(list, "{}", { "content-type": "application/connect+json", "connect-content-encoding": long }),
      await post(list, "{}", { "x-request-id": long }),
      await post(list, "{}", { authorization: `Bearer ${long}` }),
      await post("/nebula.v1.ConfigService/WatchConfig", "{}", { "connect-timeout-ms": long }),
      await post("/nebula.v1.ConfigService/WatchAndReport", "{}", { "connect-timeout-ms": long }),
      await post("/nebula.v1.ConfigService/WatchConfig", JSON.stringify({ device_group: TEXT })),
      await post("/nebula.v1.ConfigService/WatchConfig", JSON.stringify({ [TEXT]: TEXT })),
    ];
    assert.deepEqual(
      answers.filter(({ text }) => text.includes(TOO_MUCH)).map(({ text }) => text.slice(0, 120)),
      [],
    );
    assert.ok(answers.filter(({ status }) => status >= 400).length >= 12, JSON.stringify(answers.map(({ status }) => status)));
  });

  it("a long text is repeated by no answer of REST v2 beyond its beginning", async () => {
    const nouns = ["apps", "cron_jobs", "device_groups", "users", "user_groups"];
    const fields = [
      "starting_ports",
      "containers_per",
      "env_vars",
      "docker_image",
      "running",
      "networks",
      "volumes",
      "devices",
      "privileged",
      "rolling_restart",
    ];
    const more = [
      "schedule",
      "apps",
      "cron_jobs",
      "prune_id",
      "password",
      "token",
      "group_members",
      "pruning_allowed",
      "admin",
      "device_groups",
      TEXT,
    ];
    const inputs = nouns.flatMap((noun) =>
      [...fields, ...more].flatMap((field) =>
        [TEXT, { [TEXT]: TEXT }, [{ [TEXT]: TEXT }]].map((value) => ({ method: { name: `/api/v2/${noun}/a` }, request: { [field]: value } })),
      ),
    );
    const statuses = await repeating(inputs, ({ method, request }) => post(method.name, JSON.stringify(request)));
    assert.ok(statuses.filter((status) => status >= 400).length > 200, String(statuses.length));
  });
});

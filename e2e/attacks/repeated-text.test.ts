import { strict as assert } from "node:assert";
import { type DescField, type DescMessage, type DescMethod, fromJson, type JsonObject, type JsonValue, toBinary } from "@bufbuild/protobuf";
import { pathOf } from "../../common/rpc/service-definition.ts";
import { LONGEST_REPEATED } from "../../common/validation/quote.ts";
import { API_SERVICES } from "../../gateway/api-services.ts";
import { UserService } from "../../gen/nebula/v1/user_pb.ts";
import { Server } from "../harness/server.ts";
import { GrpcDoor } from "../malformed/doors.ts";

/** A name but for its length, so that nothing refuses it sooner. */
const TEXT = "q".repeat(20_000);
const TOO_MUCH = "q".repeat(LONGEST_REPEATED + 1);

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

describe("a caller's long text", function () {
  this.timeout(180_000);
  let server: Server;
  before(async () => {
    server = await Server.start({ env: { NEBULA_LOG_LEVEL: "error" } });
    await server.api.createGroup("pos", []);
  });
  after(() => server[Symbol.asyncDispose]());

  const post = async (path: string, body: string, headers: Readonly<Record<string, string>> = {}, method = "POST") => {
    const login = { authorization: server.api.headers.authorization ?? "", "content-type": "application/json" };
    const response = await fetch(server.url + path, { method, body, headers: { ...login, ...headers } });
    return { status: response.status, text: `${await response.text()} ${JSON.stringify([...response.headers])}` };
  };

  it("is repeated by no answer of the API beyond its beginning, whichever field holds it", async () => {
    const wrong: string[] = [];
    let refused = 0;
    for (const method of METHODS) {
      for (const request of requests(method.input)) {
        const { status, text } = await post(pathOf(method), JSON.stringify(request));
        if (status >= 400) refused++;
        if (text.includes(TOO_MUCH)) wrong.push(`${method.name} ${JSON.stringify(request).replaceAll(/q{20,}/g, "TEXT")}: ${text.slice(0, 200)}`);
      }
    }
    assert.deepEqual(wrong, []);
    assert.ok(refused > 500, String(refused));
  });

  it("is repeated by no refusal of a caller without rights beyond its beginning", async () => {
    const { channel, headers } = server.api;
    const password = "a long password";
    await channel.unary(UserService.method.createUser, { name: "ann", password }, { headers });
    const authorization = `Basic ${Buffer.from(`ann:${password}`).toString("base64")}`;
    const wrong: string[] = [];
    let denied = 0;
    for (const method of METHODS) {
      for (const request of requests(method.input, 1)) {
        const { status, text } = await post(pathOf(method), JSON.stringify(request), { authorization });
        if (status === 403) denied++;
        if (text.includes(TOO_MUCH)) wrong.push(`${method.name} ${JSON.stringify(request).replaceAll(/q{20,}/g, "TEXT")}: ${text.slice(0, 200)}`);
      }
    }
    assert.deepEqual(wrong, []);
    assert.ok(denied > 50, String(denied));
  });

  it("is repeated by no status of gRPC beyond its beginning", async () => {
    using door = new GrpcDoor(server.grpcPort);
    const wrong: string[] = [];
    let refused = 0;
    for (const method of METHODS) {
      for (const request of requests(method.input)) {
        let bytes: Uint8Array;
        try {
          bytes = toBinary(method.input, fromJson(method.input, request));
        } catch {
          continue; // only JSON can say it
        }
        const head = Buffer.alloc(5);
        head.writeUInt32BE(bytes.length, 1);
        const answer = await door.send(pathOf(method), { authorization: server.api.headers.authorization ?? "" }, Buffer.concat([head, bytes]));
        if (answer.grpcStatus !== 0) refused++;
        if (answer.text.includes(TOO_MUCH)) wrong.push(`${method.name} ${JSON.stringify(request).replaceAll(/q{20,}/g, "TEXT")}`);
      }
    }
    assert.deepEqual(wrong, []);
    assert.ok(refused > 100, String(refused));
  });

  it("is repeated by no answer beyond its beginning from headers and paths", async () => {
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
      await post("/nebula.v1.ConfigService/WatchConfig", JSON.stringify({ device_group: TEXT })),
      await post("/nebula.v1.ConfigService/WatchConfig", JSON.stringify({ [TEXT]: TEXT })),
    ];
    assert.deepEqual(
      answers.filter(({ text }) => text.includes(TOO_MUCH)).map(({ text }) => text.slice(0, 120)),
      [],
    );
    assert.ok(answers.filter(({ status }) => status >= 400).length >= 12, JSON.stringify(answers.map(({ status }) => status)));
  });

  it("is repeated by no answer of REST v2 beyond its beginning", async () => {
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
    const wrong: string[] = [];
    for (const noun of nouns) {
      for (const field of [...fields, ...more]) {
        for (const value of [TEXT, { [TEXT]: TEXT }, [{ [TEXT]: TEXT }]]) {
          for (const path of [`/api/v2/${noun}/a`]) {
            const { text } = await post(path, JSON.stringify({ [field]: value }));
            if (text.includes(TOO_MUCH))
              wrong.push(`${path} ${JSON.stringify({ [field]: value }).replaceAll(/q{20,}/g, "TEXT")}: ${text.slice(0, 100)}`);
          }
        }
      }
    }
    assert.deepEqual(wrong, []);
  });
});

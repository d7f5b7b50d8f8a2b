import { strict as assert } from "node:assert";
import { create, type DescMessage, type Message, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { AppSchema } from "../../gen/nebula/v1/app_pb.ts";
import { ReportService, SubmitReportsRequestSchema } from "../../gen/nebula/v1/report_pb.ts";
import { hasTooManyJsonValues, hasTooManyValues, MOST_MAP_ENTRIES, MOST_VALUES } from "./count-values.ts";
import { decoded, methodDefinition, Undecodable } from "./service-definition.ts";

const emptyReports = (count: number) => Buffer.alloc(2 * count, Buffer.from([10, 0]));

/** How many values the counter sees in a message. */
function valuesIn(schema: DescMessage, message: Message): number {
  const bytes = toBinary(schema, message);
  let most = 0;
  while (hasTooManyValues(schema, bytes, most)) most++;
  return most;
}

describe("the number of values in a request", () => {
  it("the number of values in a request is limited before any of it is decoded", () => {
    assert.equal(hasTooManyValues(SubmitReportsRequestSchema, emptyReports(MOST_VALUES)), false);
    assert.equal(hasTooManyValues(SubmitReportsRequestSchema, emptyReports(MOST_VALUES + 1)), true);
    const read = methodDefinition(ReportService.method.submitReports).requestDeserialize;
    const request = decoded(SubmitReportsRequestSchema, read(emptyReports(1_000_000)));
    assert.ok(request instanceof Undecodable);
    assert.match(request.reason, /more than 100000 values/);
  });

  it("the number of values counts fields, items and entries, nested ones too", () => {
    assert.equal(valuesIn(AppSchema, create(AppSchema, {})), 0);
    assert.equal(valuesIn(AppSchema, create(AppSchema, { name: "web", dockerImage: "shop:1" })), 2);
    assert.equal(valuesIn(AppSchema, create(AppSchema, { startingPorts: [{ hostPort: 1, containerPort: 2 }, { containerPort: 3 }] })), 5);
    assert.equal(valuesIn(AppSchema, create(AppSchema, { command: ["a", "b", "c"] })), 3);
    assert.equal(valuesIn(AppSchema, create(AppSchema, { envVars: { A: "1", B: "2" } })), 4);
  });

  it("the number of values of JSON skips the content of strings", () => {
    const text = '{"a": ["x,{[\\",", 2, {"b": 3}], "c\\\\": 4}';
    let most = 0;
    while (hasTooManyJsonValues(Buffer.from(text), most)) most++;
    assert.equal(most, 6); // three that open, three commas
    assert.equal(hasTooManyJsonValues(Buffer.from(`{"reports":[${"{},".repeat(1_000_000)}{}]}`)), true);
    assert.equal(hasTooManyJsonValues(Buffer.from(JSON.stringify({ text: ",".repeat(1_000_000) }))), false);
  });

  it("the number of map entries is limited to a tenth of that, in JSON and in binary", () => {
    const entries = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`K${index}`, "v"]));
    for (const [count, isTooMuch] of [
      [MOST_MAP_ENTRIES, false],
      [MOST_MAP_ENTRIES + 1, true],
      [90_000, true],
    ] as const) {
      assert.equal(hasTooManyJsonValues(Buffer.from(JSON.stringify({ app: { env_vars: entries(count) } }))), isTooMuch, `${count} in JSON`);
      assert.equal(hasTooManyValues(AppSchema, toBinary(AppSchema, create(AppSchema, { envVars: entries(count) }))), isTooMuch, `${count} in binary`);
    }
    const two = { env_vars: entries(6000), labels: entries(6000) };
    assert.equal(hasTooManyJsonValues(Buffer.from(JSON.stringify(two))), true, "all maps count together");
    const messages = { reports: Array.from({ length: 9000 }, () => ({ a: 1, b: 2, c: { d: 3 } })) };
    assert.equal(hasTooManyJsonValues(Buffer.from(JSON.stringify(messages))), false, "fields of messages are no entries");
  });

  it("the count of values ends for any bytes, and never exceeds their number", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        for (const schema of [SubmitReportsRequestSchema, AppSchema]) assert.equal(hasTooManyValues(schema, bytes, bytes.length), false);
        assert.equal(hasTooManyJsonValues(bytes, bytes.length), false);
      }),
      { examples: [[Uint8Array.of(7 * 8 + 2)]] }, // a map's entry, cut off before its length
    );
  });
});

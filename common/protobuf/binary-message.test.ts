import { strict as assert } from "node:assert";
import { create, type DescField, type DescMessage, type DescOneof, fromBinary, type Message, ScalarType, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { CODECS } from "../../gen/nebula/v1/codecs.ts";
import { WatchAndReportRequestSchema } from "../../gen/nebula/v1/config_pb.ts";
import { DeviceGroupSchema } from "../../gen/nebula/v1/device_group_pb.ts";
import { DeviceSchema, DeviceSummarySchema, StatusChangesSchema } from "../../gen/nebula/v1/device_pb.ts";
import { BusRecordSchema, ContainerStatusSchema, HostStatusSchema, ReportSchema, SubmitReportsRequestSchema } from "../../gen/nebula/v1/report_pb.ts";
import { readMessage, readMessages, writeMessage } from "./binary-message.ts";
import { WireReader } from "./field-reader.ts";
import { WireWriter } from "./field-writer.ts";

const SAFE = 2n ** 53n - 1n;
const often = <T>(usual: fc.Arbitrary<T>, ...others: T[]) => fc.oneof({ weight: 10, arbitrary: usual }, fc.constantFrom(...others));

/** The values of a kind: those that the generated code reads and writes itself, and others. */
type Values = Readonly<{ usual: fc.Arbitrary<unknown>; any: fc.Arbitrary<unknown> }>;

const text = often(
  fc.string({ maxLength: 20 }),
  "",
  "web",
  "a".repeat(80),
  "b".repeat(127),
  "c".repeat(128),
  "d".repeat(20_000),
  "größe",
  "鍵",
  "\ufeffx",
  "😀",
);
const whole = (most: number) => often(fc.nat(most), 0, 1, 127, 128, 16_383, 16_384, most);
const large = often(fc.bigInt(0n, SAFE), 0n, 1n, 127n, 128n, 1023n, 1024n, 2n ** 32n - 1n, 2n ** 32n, SAFE);
const enumNumber: Values = { usual: whole(40), any: fc.oneof(whole(40), fc.constantFrom(-1, 2 ** 31 - 1)) };
const SCALARS: Readonly<Partial<Record<ScalarType, Values>>> = {
  [ScalarType.STRING]: { usual: text, any: often(text, "\ud800", "x\udc00".repeat(90)) },
  [ScalarType.BYTES]: { usual: fc.uint8Array({ maxLength: 10 }), any: fc.uint8Array({ maxLength: 200 }) },
  [ScalarType.BOOL]: { usual: fc.boolean(), any: fc.boolean() },
  [ScalarType.DOUBLE]: { usual: fc.double(), any: fc.double() },
  [ScalarType.INT32]: { usual: whole(2 ** 31 - 1), any: often(fc.integer(), -1, -(2 ** 31)) },
  [ScalarType.UINT32]: { usual: whole(2 ** 32 - 1), any: whole(2 ** 32 - 1) },
  [ScalarType.INT64]: { usual: large, any: often(large, -1n, -(2n ** 63n), 2n ** 63n - 1n) },
  [ScalarType.UINT64]: { usual: large, any: often(large, SAFE + 1n, 2n ** 64n - 1n) },
};

function valuesOf(field: DescField, kind: keyof Values): fc.Arbitrary<unknown> {
  const one = field.message ? messages(field.message, kind) : (field.enum ? enumNumber : field.scalar ? SCALARS[field.scalar] : undefined)?.[kind];
  if (one === undefined) assert.fail(`no values for ${field}`);
  return field.fieldKind === "list" ? fc.array(one, { maxLength: 3 }) : one;
}

function memberOf(member: DescField | DescOneof, kind: keyof Values): fc.Arbitrary<unknown> {
  if (member.kind === "field") return valuesOf(member, kind);
  return fc.oneof(...member.fields.map((field) => valuesOf(field, kind).map((value) => ({ case: field.localName, value }))));
}

/** Messages with any of their fields. */
function messages(schema: DescMessage, kind: keyof Values): fc.Arbitrary<Message> {
  const members = Object.fromEntries(schema.members.map((member) => [member.localName, memberOf(member, kind)]));
  return fc.record(members, { requiredKeys: [] }).map((given) => create(schema, given));
}

/** Returns the result of a function, or its refusal with the reason. */
function outcomeOf(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return `refused: ${error}`;
  }
}

const plain = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

/** Checks that bytes are read as protobuf-es reads them, or refused as it refuses them; as a Buffer, too. */
function assertReadAlike(schema: DescMessage, bytes: Uint8Array): void {
  for (const given of [bytes, Buffer.from(bytes)])
    assert.deepEqual(
      outcomeOf(() => readMessage(schema, given)),
      outcomeOf(() => fromBinary(schema, given)),
    );
}

describe("the code for messages that are decoded and encoded most", () => {
  for (const { schema, read, write } of CODECS) {
    describe(schema.name, () => {
      it(`a ${schema.name} is encoded to the bytes that protobuf-es encodes it to`, () => {
        fc.assert(
          fc.property(messages(schema, "any"), (message) => {
            assert.equal(plain(writeMessage(schema, message)), plain(toBinary(schema, message)));
          }),
        );
      });

      it(`a ${schema.name} is decoded as protobuf-es decodes it, absent fields included`, () => {
        fc.assert(fc.property(messages(schema, "any"), (message) => assertReadAlike(schema, toBinary(schema, message))));
      });

      it(`a ${schema.name} of usual values is not left to protobuf-es`, () => {
        fc.assert(
          fc.property(messages(schema, "usual"), (message) => {
            const bytes = toBinary(schema, message);
            const reader = new WireReader();
            reader.start(bytes);
            assert.deepEqual(read(reader, bytes.length), fromBinary(schema, bytes));
            assert.equal(reader.at, bytes.length);
            const writer = new WireWriter();
            assert.equal(plain(writer.bytesOf(() => write(message, writer)) ?? assert.fail("it was left")), plain(bytes));
          }),
          { numRuns: 50 },
        );
      });

      it(`bytes that are not quite a ${schema.name} are decoded as protobuf-es decodes them, or refused as it refuses them`, () => {
        const encoded = messages(schema, "any").map((message) => toBinary(schema, message));
        const damaged = fc.tuple(encoded, fc.nat(), fc.nat(255), fc.boolean()).map(([bytes, at, byte, isCut]) => {
          if (bytes.length === 0) return bytes;
          return isCut ? bytes.slice(0, at % bytes.length) : bytes.with(at % bytes.length, byte);
        });
        const twice = fc.tuple(encoded, encoded).map((both) => new Uint8Array(Buffer.concat(both)));
        fc.assert(
          fc.property(fc.oneof({ weight: 4, arbitrary: damaged }, twice, fc.uint8Array({ maxLength: 40 })), (bytes) =>
            assertReadAlike(schema, bytes),
          ),
          { numRuns: 500 },
        );
      });

      it(`unknown fields of a ${schema.name} are kept`, () => {
        const unknown = Uint8Array.of(0x98, 0x06, 0x07); // number 99: 7
        fc.assert(
          fc.property(messages(schema, "usual"), (given) => {
            const bytes = new Uint8Array(Buffer.concat([toBinary(schema, given), unknown]));
            const message = readMessage(schema, bytes);
            assert.deepEqual(message.$unknown, [{ no: 99, wireType: 0, data: Uint8Array.of(7) }]);
            assert.equal(plain(writeMessage(schema, message)), plain(bytes));
          }),
          { numRuns: 20 },
        );
      });
    });
  }

  it("messages that are one after the other are each read as if it were alone, or refused", () => {
    const schema: DescMessage = DeviceSummarySchema;
    const encoded = fc.oneof(messages(schema, "usual"), messages(schema, "any")).map((summary) => toBinary(schema, summary));
    const cut = fc.tuple(encoded, fc.nat()).map(([bytes, at]) => bytes.slice(0, at % (bytes.length + 1)));
    fc.assert(
      fc.property(fc.array(fc.oneof({ weight: 4, arbitrary: encoded }, cut), { maxLength: 6 }), (list) => {
        const lengths = list.map(({ length }) => length);
        assert.deepEqual(
          outcomeOf(() => readMessages(schema, Buffer.concat(list), lengths)),
          outcomeOf(() => list.map((each) => fromBinary(schema, Buffer.from(each)))),
        );
      }),
      { numRuns: 500 },
    );
  });

  it("there is code for what each report of a device is decoded from and encoded to", () => {
    const schemas = CODECS.map(({ schema }) => schema);
    for (const schema of [SubmitReportsRequestSchema, WatchAndReportRequestSchema, BusRecordSchema, ReportSchema])
      assert.ok(schemas.includes(schema), schema.name);
    for (const schema of [DeviceSchema, DeviceSummarySchema, StatusChangesSchema]) assert.ok(schemas.includes(schema), schema.name);
  });

  it("a message without code of its own is decoded and encoded all the same", () => {
    const group = create(DeviceGroupSchema, { name: "shops", apps: ["web"] });
    assert.ok(!CODECS.some(({ schema }) => schema === DeviceGroupSchema));
    const bytes = writeMessage(DeviceGroupSchema, group);
    assert.deepEqual(readMessage(DeviceGroupSchema, bytes), group);
    assert.deepEqual(readMessages(DeviceGroupSchema, bytes, [bytes.length, 0]), [group, create(DeviceGroupSchema)]);
  });

  it("values that a field cannot have are refused as protobuf-es refuses them", () => {
    const unfit = [
      [ReportSchema, create(ReportSchema, { seq: -1n })],
      [ReportSchema, create(ReportSchema, { seq: 2n ** 64n })],
      [HostStatusSchema, create(HostStatusSchema, { cpuCores: -1 })],
      [HostStatusSchema, create(HostStatusSchema, { cpuCores: 0.5 })],
      [ContainerStatusSchema, create(ContainerStatusSchema, { exitCode: 2 ** 31 })],
      [ReportSchema, create(HostStatusSchema)],
    ] as const;
    for (const [schema, message] of unfit) {
      const refusal = outcomeOf(() => toBinary<DescMessage>(schema, message));
      assert.match(String(refusal), /^refused: /);
      assert.equal(
        outcomeOf(() => writeMessage<DescMessage>(schema, message)),
        refusal,
      );
    }
  });

  it("a message that was refused, or was large, leaves nothing in the next one", () => {
    const report = create(ReportSchema, { deviceId: "d1", etag: "e" });
    const bytes = plain(toBinary(ReportSchema, report));
    const unencodable = create(ReportSchema, { deviceId: "x".repeat(300_000), seq: -1n });
    assert.throws(() => writeMessage(ReportSchema, unencodable));
    assert.equal(plain(writeMessage(ReportSchema, report)), bytes);
    const encoded = writeMessage(ReportSchema, report);
    writeMessage(ReportSchema, create(ReportSchema, { deviceId: "other", etag: "y".repeat(300_000) }));
    assert.equal(plain(encoded), bytes);
  });

  it("bytes that are not UTF-8 are refused, also after a text of the same characters", () => {
    const [right, wrong] = ["é", "\xe9"].map((value, index) => {
      const content = Buffer.from(value, index === 0 ? "utf8" : "latin1");
      return Buffer.concat([Uint8Array.of(10, content.length), content]);
    });
    assert.equal(readMessage(ReportSchema, right ?? assert.fail()).deviceId, "é");
    assert.throws(() => readMessage(ReportSchema, wrong ?? assert.fail()));
  });

  it("texts that messages have in common are held once, and each is the one that its bytes say", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ maxLength: 3 }), { maxLength: 50 }), (names) => {
        for (const deviceId of names)
          assert.equal(readMessage(ReportSchema, toBinary(ReportSchema, create(ReportSchema, { deviceId }))).deviceId, deviceId);
      }),
    );
  });
});

import { strict as assert } from "node:assert";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import {
  DeviceSummarySchema,
  PresenceChangeSchema,
  StatusChangeSchema,
  StatusChangesSchema,
  TargetKind,
  TargetSummarySchema,
} from "../../gen/nebula/v1/device_pb.ts";
import { FailureCode, StepKind, TargetState } from "../../gen/nebula/v1/report_pb.ts";
import { readStatusChanges, readSummary } from "./summary-reader.ts";

const LARGE = 2n ** 53n - 1n;
const number = fc.oneof({ weight: 20, arbitrary: fc.bigInt(0n, LARGE) }, fc.constantFrom(0n, 1n, 127n, 128n, LARGE, LARGE + 1n, 2n ** 64n - 1n));
const small = fc.oneof({ weight: 20, arbitrary: fc.nat() }, fc.constantFrom(2 ** 31 - 1));
const oneOf = <T>(values: Readonly<Record<string, T>>) => fc.constantFrom(...Object.values(values));
const text = fc.oneof(
  { weight: 20, arbitrary: fc.string({ unit: "binary-ascii", maxLength: 20 }) },
  fc.constantFrom("", "web", "shop-1", "z".repeat(200), "größe", "鍵"),
);
const ofTarget = {
  kind: oneOf(TargetKind),
  name: text,
  revision: number,
  appliedRevision: number,
  state: oneOf(TargetState),
  failureCode: oneOf(FailureCode),
  stepKind: oneOf(StepKind),
  sinceMs: number,
  containers: small,
  containersWell: small,
  imageIds: fc.array(fc.uint8Array({ maxLength: 10 }), { maxLength: 4 }),
};
const target = fc.record(ofTarget, { requiredKeys: [] });
const ofSummary = {
  deviceId: text,
  deviceGroup: text,
  boot: text,
  seq: number,
  writtenAt: number,
  receivedAtMs: number,
  etag: text,
  state: oneOf(TargetState),
  groupRevision: number,
  pruneId: number,
  workerVersion: text,
  problems: fc.array(text, { maxLength: 3 }),
  targets: fc.array(
    target.map((given) => create(TargetSummarySchema, given)),
    { maxLength: 4 },
  ),
  original: fc.boolean(),
  repairs: number,
};
const summary = fc.record(ofSummary, { requiredKeys: [] });

describe("the reader of summaries", () => {
  it("a summary is read as protobuf-es reads it, with numbers and texts of any size", () => {
    fc.assert(
      fc.property(summary, (given) => {
        const bytes = toBinary(DeviceSummarySchema, create(DeviceSummarySchema, given));
        assert.deepEqual(readSummary(bytes), fromBinary(DeviceSummarySchema, bytes));
      }),
      { numRuns: 500 },
    );
  });

  it("an announcement is read as protobuf-es reads it, with devices that were deleted, and with watches", () => {
    const change = fc
      .record(
        { deviceId: text, writtenAt: number, summary: summary.map((given) => create(DeviceSummarySchema, given)) },
        { requiredKeys: ["deviceId"] },
      )
      .map((given) => create(StatusChangeSchema, given));
    const watch = fc.record({ deviceId: text, stream: number }).map((given) => create(PresenceChangeSchema, given));
    const presence = fc.array(watch, { maxLength: 1 });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 4 }), presence, (changes, watches) => {
        const bytes = toBinary(StatusChangesSchema, create(StatusChangesSchema, { changes, presence: watches }));
        assert.deepEqual(readStatusChanges(bytes), fromBinary(StatusChangesSchema, bytes));
      }),
    );
  });

  it("any bytes are read as protobuf-es reads them, or refused as it refuses them", () => {
    const valid = summary.map((given) => toBinary(DeviceSummarySchema, create(DeviceSummarySchema, given)));
    const torn = fc.tuple(valid, fc.nat(), fc.nat(255), fc.boolean()).map(([bytes, at, byte, isCut]) => {
      if (bytes.length === 0) return bytes;
      if (isCut) return bytes.slice(0, at % bytes.length);
      return bytes.with(at % bytes.length, byte);
    });
    const read = (how: () => unknown) => {
      try {
        return how();
      } catch {
        return "refused";
      }
    };
    fc.assert(
      fc.property(fc.oneof(torn, fc.uint8Array({ maxLength: 40 })), (bytes) => {
        assert.deepEqual(
          read(() => readSummary(bytes)),
          read(() => fromBinary(DeviceSummarySchema, bytes)),
        );
        assert.deepEqual(
          read(() => readStatusChanges(bytes)),
          read(() => fromBinary(StatusChangesSchema, bytes)),
        );
      }),
      { numRuns: 2000 },
    );
  });

  it("the properties above give each field a value: a new one has to be read here, too", () => {
    const names = (fields: readonly { localName: string }[]) => fields.map(({ localName }) => localName).sort();
    assert.deepEqual(Object.keys(ofSummary).sort(), names(DeviceSummarySchema.fields));
    assert.deepEqual(Object.keys(ofTarget).sort(), names(TargetSummarySchema.fields));
    assert.deepEqual(names(StatusChangeSchema.fields), ["deviceId", "summary", "writtenAt"]);
  });

  it("texts, numbers and ids of images that devices share are held once, and are no views of the message", () => {
    const given = { deviceGroup: "shared-group", repairs: 987_654n, targets: [{ name: "shared-app", imageIds: [new Uint8Array(8).fill(7)] }] };
    const bytes = () => toBinary(DeviceSummarySchema, create(DeviceSummarySchema, given));
    const [one, other] = [readSummary(bytes()), readSummary(bytes())];
    const [image] = one.targets[0]?.imageIds ?? [];
    assert.equal(image?.buffer.byteLength, 8);
    assert.equal(other.targets[0]?.imageIds[0], image);
    assert.throws(() => readSummary(new Uint8Array()).targets.push(...one.targets), TypeError);
  });
});

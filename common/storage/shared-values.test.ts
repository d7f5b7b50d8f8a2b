import { strict as assert } from "node:assert";
import { clone, create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { DeviceSummarySchema, TargetSummarySchema } from "../../gen/nebula/v1/device_pb.ts";
import { readSummary } from "./device-summary.ts";
import { sharedText, withSharedValues } from "./shared-values.ts";

/** A field that this release does not know, number 99: 7. */
const UNKNOWN = Uint8Array.of(0x98, 0x06, 0x07);
/** The first byte of a target in a summary. */
const TARGET_TAG = DeviceSummarySchema.field.targets.number * 8 + 2;
const number = fc.oneof(fc.bigInt(0n, 3000n), fc.bigInt(0n, 2n ** 64n - 1n));
const target = fc.record({
  name: fc.string({ maxLength: 5 }),
  revision: number,
  appliedRevision: number,
  imageIds: fc.array(fc.oneof(fc.uint8Array({ maxLength: 2 }), fc.uint8Array({ maxLength: 200 })), { maxLength: 3 }),
});
const summary = fc
  .record({
    seq: number,
    groupRevision: number,
    pruneId: number,
    repairs: number,
    problems: fc.array(fc.string(), { maxLength: 2 }),
    targets: fc.array(target, { maxLength: 3 }),
  })
  .map((given) => create(DeviceSummarySchema, given));

describe("values that summaries share", () => {
  it("a summary with shared values equals the one without, after any other summaries", () => {
    fc.assert(
      fc.property(fc.array(summary, { minLength: 1, maxLength: 5 }), (summaries) => {
        for (const each of summaries) assert.deepEqual(withSharedValues(clone(DeviceSummarySchema, each)), each);
      }),
    );
  });

  it("ids of images that devices share are held once, and are no views of the bytes that were read", () => {
    const given = { deviceGroup: "shared-group", repairs: 987_654n, targets: [{ name: "shared-app", imageIds: [new Uint8Array(8).fill(7)] }] };
    const bytes = () => toBinary(DeviceSummarySchema, create(DeviceSummarySchema, given));
    const [one, other] = [readSummary(bytes()), readSummary(bytes())];
    const [image] = one.targets[0]?.imageIds ?? [];
    assert.equal(image?.buffer.byteLength, 8);
    assert.equal(other.targets[0]?.imageIds[0], image);
    assert.equal(other.targets[0]?.imageIds, one.targets[0]?.imageIds);
    assert.throws(() => one.targets[0]?.imageIds.push(new Uint8Array()), TypeError);
    assert.throws(() => readSummary(new Uint8Array()).targets.push(...one.targets), TypeError);
  });

  it("a shared text is the one that was given, after any other texts", () => {
    fc.assert(fc.property(fc.array(fc.string({ maxLength: 100 })), (texts) => assert.deepEqual(texts.map(sharedText), texts)));
  });

  it("fields of a newer release are left out of a summary, and its bytes are not held", () => {
    const bytes = Buffer.concat([toBinary(DeviceSummarySchema, create(DeviceSummarySchema, { deviceId: "d", targets: [{ name: "web" }] })), UNKNOWN]);
    const summary = readSummary(bytes);
    assert.deepEqual([summary.deviceId, summary.targets[0]?.name, "$unknown" in summary], ["d", "web", false]);
    const inTarget = Buffer.concat([toBinary(TargetSummarySchema, create(TargetSummarySchema, { name: "web" })), UNKNOWN]);
    const [target = assert.fail()] = readSummary(Buffer.concat([Uint8Array.of(TARGET_TAG, inTarget.length), inTarget])).targets;
    assert.deepEqual([target.name, "$unknown" in target], ["web", false]);
  });
});

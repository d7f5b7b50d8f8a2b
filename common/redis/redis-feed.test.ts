import { strict as assert } from "node:assert";
import { create, fromBinary } from "@bufbuild/protobuf";
import { PresenceChangeSchema, StatusChangeSchema, StatusChangesSchema } from "../../gen/nebula/v1/device_pb.ts";
import { ANNOUNCEMENT_BYTES, statusPayloads } from "./redis-feed.ts";

describe("statuses as announcements of Redis", () => {
  it("what changed in a group is one announcement, which is read as it was", () => {
    const news = create(StatusChangesSchema, {
      changes: [{ deviceId: "a", writtenAt: 7n, summary: { deviceId: "a", deviceGroup: "shops", targets: [{ name: "web", revision: 3n }] } }],
      presence: [{ deviceId: "b", shardBoot: "boot", stream: 5n, ended: true, atMs: 9n }],
    });
    assert.deepEqual(
      statusPayloads(news).map((payload) => fromBinary(StatusChangesSchema, payload)),
      [news],
    );
  });

  it("announcements of a large batch are split, and nothing of it is lost", () => {
    const targets = Array.from({ length: 50 }, (_, index) => ({ name: `app-${index}-${"x".repeat(40)}`, revision: 3n }));
    const changes = Array.from({ length: 1000 }, (_, index) => {
      const deviceId = `device-${index}`;
      return create(StatusChangeSchema, { deviceId, writtenAt: 7n, summary: { deviceId, deviceGroup: "shops", targets } });
    });
    const presence = Array.from({ length: 10_000 }, (_, index) =>
      create(PresenceChangeSchema, { deviceId: `device-${index}`, shardBoot: "x".repeat(60) }),
    );
    const payloads = statusPayloads({ changes, presence });
    const sizes = payloads.map(({ length }) => length);
    assert.ok(sizes.length > 2 && Math.max(...sizes) <= ANNOUNCEMENT_BYTES, sizes.join());
    const read = payloads.map((payload) => fromBinary(StatusChangesSchema, payload));
    assert.deepEqual(
      read.flatMap((each) => each.changes),
      changes,
    );
    assert.deepEqual(
      read.flatMap((each) => each.presence),
      presence,
    );
  });

  it("an announcement is not made of nothing", () => {
    assert.deepEqual(statusPayloads({ changes: [], presence: [] }), []);
  });
});

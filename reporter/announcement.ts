import { create, toBinary } from "@bufbuild/protobuf";
import type { FeedEvent } from "../common/feed/change-feed.ts";
import { type Device, DeviceSchema } from "../gen/nebula/v1/device_pb.ts";
import type { AppStatus, CronJobStatus } from "../gen/nebula/v1/report_pb.ts";

/**
 * What the feed carries of a device's new status: an encoded Device with the ids, boot, seq and the state and revisions of each target, and none of the
 * bulk (containers, host figures). It goes to the device's group, and to the group that it was in before.
 */
export function announcements(before: Device | undefined, after: Device): readonly FeedEvent[] {
  const payload = toBinary(DeviceSchema, summary(after));
  const groups = new Set(before === undefined ? [after.deviceGroup] : [before.deviceGroup, after.deviceGroup]);
  return [...groups].map((deviceGroup) => ({ kind: "status", deviceGroup, payload }));
}

function summary({ deviceId, deviceGroup, report, duplicateId }: Device): Device {
  return create(DeviceSchema, {
    deviceId,
    deviceGroup,
    duplicateId,
    report: report && {
      boot: report.boot,
      seq: report.seq,
      etag: report.etag,
      state: report.state,
      groupRevision: report.groupRevision,
      apps: report.apps.map(target),
      cronJobs: report.cronJobs.map(target),
    },
  });
}

function target({ name, revision, appliedRevision, state, reason }: AppStatus | CronJobStatus) {
  return { name, revision, appliedRevision, state, reason };
}

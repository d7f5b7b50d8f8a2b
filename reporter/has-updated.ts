import type { Report } from "../gen/nebula/v1/report_pb.ts";

/** Whether a device has changed something since its report before: an app or cron_job is at another revision, or an app has other containers. */
export function hasUpdated(before: Report | undefined, after: Report): boolean {
  return before === undefined || appliedOf(before) !== appliedOf(after);
}

function appliedOf({ apps, cronJobs }: Report): string {
  return JSON.stringify([
    apps.map(({ name, appliedRevision, containers }) => [name, String(appliedRevision), containers.map(({ id }) => id).sort()]),
    cronJobs.map(({ name, appliedRevision }) => [name, String(appliedRevision)]),
  ]);
}

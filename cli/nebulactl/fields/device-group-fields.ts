import type { DeviceGroup } from "../../../gen/nebula/v1/device_group_pb.ts";
import { type Field, listField, numberField } from "./field.ts";

/** What can be given for a device_group. */
export const deviceGroupFields: readonly Field<DeviceGroup>[] = [
  listField(
    "apps",
    { name: "apps", short: "a", placeholder: "A,B", help: "Its apps, in order: the first one gets a host port that two claim." },
    (apps) => ({ apps }),
  ),
  listField("cron_jobs", { name: "cron-jobs", short: "c", placeholder: "A,B", help: "Its cron_jobs." }, (cronJobs) => ({ cronJobs })),
  numberField(
    "spread",
    { name: "spread", placeholder: "N", min: 0, integer: true, help: "How many managers share its devices. Default: 1." },
    (spread) => ({ spread }),
  ),
];

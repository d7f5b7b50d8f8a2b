import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { AppSchema } from "../../gen/nebula/v1/app_pb.ts";
import { type Config, ConfigSchema } from "../../gen/nebula/v1/config_pb.ts";
import { CronJobSchema } from "../../gen/nebula/v1/cron_job_pb.ts";

export type AppInit = Omit<MessageInitShape<typeof AppSchema>, "$typeName">;
type CronJobInit = Omit<MessageInitShape<typeof CronJobSchema>, "$typeName">;

export type ConfigInit = Readonly<{
  cluster?: { id: string; epoch: bigint };
  deviceGroup?: string;
  groupRevision?: bigint;
  pruneId?: bigint;
  /** By name; undefined: a tombstone. Revisions are 1 unless said. */
  apps?: Readonly<Record<string, AppInit | undefined>>;
  cronJobs?: Readonly<Record<string, CronJobInit | undefined>>;
  /** Of tombstones. */
  tombstoneRevision?: bigint;
}>;

/** A config for tests, with as little said as possible. */
export function configOf({
  cluster = { id: "c1", epoch: 1n },
  deviceGroup = "shop",
  groupRevision = 1n,
  pruneId = 1n,
  apps = {},
  cronJobs = {},
  tombstoneRevision = 2n,
}: ConfigInit): Config {
  return create(ConfigSchema, {
    cluster,
    deviceGroup,
    groupRevision,
    pruneId,
    apps: Object.entries(apps).map(([name, app]) =>
      app === undefined
        ? { name, revision: tombstoneRevision }
        : { name, revision: app.revision ?? 1n, app: create(AppSchema, { dockerImage: "shop:1", revision: 1n, ...app, name }) },
    ),
    cronJobs: Object.entries(cronJobs).map(([name, job]) =>
      job === undefined
        ? { name, revision: tombstoneRevision }
        : {
            name,
            revision: job.revision ?? 1n,
            cronJob: create(CronJobSchema, { dockerImage: "shop:1", schedule: "0 * * * *", revision: 1n, ...job, name }),
          },
    ),
  });
}

/** `containers_per: {server: n}` */
export function perServer(count: number): NonNullable<AppInit["containersPer"]> {
  return { per: { case: "server", value: count } };
}

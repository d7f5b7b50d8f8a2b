import { Code } from "@connectrpc/connect";
import { assertNever } from "../../../../common/errors/assert-never.ts";
import { entityOf, type Resource } from "../../../../common/resources/resource.ts";
import { unlessRefused } from "../../errors/unless-refused.ts";
import { appKind } from "./app-kind.ts";
import { cronJobKind } from "./cron-job-kind.ts";
import { deviceGroupKind } from "./device-group-kind.ts";
import type { Call, Entity, Kind, Minimums, Written } from "./kind.ts";
import { userGroupKind } from "./user-group-kind.ts";

export type WrittenResource = Readonly<{ resource: Resource; warnings: readonly string[] }>;

/** A resource with the calls of its kind. */
export type BoundResource = Readonly<{
  resource: Resource;
  /** Reads the resource stored under its name; undefined if absent. */
  stored(call: Call): Promise<Resource | undefined>;
  create(call: Call, minimums?: Minimums): Promise<WrittenResource>;
  /** Replaces every writable field if the stored resource still has that revision. */
  replace(call: Call, ifRevision: bigint, minimums?: Minimums): Promise<WrittenResource>;
}>;

export function bindResource(resource: Resource): BoundResource {
  switch (resource.kind) {
    case "app":
      return bind(appKind, resource.app);
    case "cron_job":
      return bind(cronJobKind, resource.cronJob);
    case "device_group":
      return bind(deviceGroupKind, resource.deviceGroup);
    case "user_group":
      return bind(userGroupKind, resource.userGroup);
    default:
      return assertNever(resource);
  }
}

function bind<M extends Entity>({ calls, toResource }: Kind<M>, entity: M): BoundResource {
  const written = ({ entity, warnings }: Written<M>) => ({ resource: toResource(entity), warnings });
  return {
    resource: toResource(entity),
    async stored(call) {
      const found = await unlessRefused(calls.get(call, entity.name), Code.NotFound);
      return found === undefined ? undefined : toResource(found.entity);
    },
    create: async (call, minimums = {}) => written(await calls.create(call, entity, minimums)),
    replace: async (call, ifRevision, minimums = {}) => written(await calls.update(call, { entity, paths: ["*"], ifRevision, minimums })),
  };
}

/** The revision of a stored resource. */
export function revisionOf(resource: Resource): bigint {
  return entityOf(resource).revision;
}

import { Code, ConnectError } from "@connectrpc/connect";
import { assertNever } from "../../../common/errors/assert-never.ts";
import { entityOf, type Resource } from "../../../common/resources/resource.ts";
import type { Call, Entity, Minimums, Written } from "../entities/entity-calls.ts";
import { appKind, cronJobKind, deviceGroupKind, type Kind, userGroupKind } from "../entities/kind.ts";

export type WrittenResource = Readonly<{ resource: Resource; warnings: readonly string[] }>;

/** A resource with the calls of its kind. */
export type BoundResource = Readonly<{
  resource: Resource;
  /** What is stored under its name; undefined: nothing. */
  stored(call: Call): Promise<Resource | undefined>;
  create(call: Call, minimums?: Minimums): Promise<WrittenResource>;
  /** Replaces every writable field, if the stored one is still at that revision. */
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
      const found = await ifFound(calls.get(call, entity.name));
      return found === undefined ? undefined : toResource(found.entity);
    },
    create: async (call, minimums = {}) => written(await calls.create(call, entity, minimums)),
    replace: async (call, ifRevision, minimums = {}) => written(await calls.update(call, { entity, paths: ["*"], ifRevision, minimums })),
  };
}

/** What a get answers; undefined where there is nothing of that name. */
export async function ifFound<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof ConnectError && error.code === Code.NotFound) return undefined;
    throw error;
  }
}

/** Apps and cron_jobs come before the device_groups that name them, and all of these before the user_groups. */
const ORDER: Readonly<Record<Resource["kind"], number>> = { app: 0, cron_job: 1, device_group: 2, user_group: 3 };

/** In the order in which they can be written, and as given within a kind. */
export function inOrder(resources: readonly Resource[]): Resource[] {
  return resources.toSorted((a, b) => ORDER[a.kind] - ORDER[b.kind]);
}

/** The revision of a stored resource. */
export function revisionOf(resource: Resource): bigint {
  return entityOf(resource).revision;
}

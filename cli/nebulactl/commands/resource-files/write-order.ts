import type { Violation } from "../../../../common/errors/nebula-error.ts";
import { entityOf, type Resource } from "../../../../common/resources/resource.ts";
import type { DeviceGroup } from "../../../../gen/nebula/v1/device_group_pb.ts";

/** Apps and cron_jobs are written before the device_groups that name them, and all of these before the user_groups. */
const ORDER: Readonly<Record<Resource["kind"], number>> = { app: 0, cron_job: 1, device_group: 2, user_group: 3 };

/** Sorts resources into the order in which they can be written; the order within a kind stays. */
export function inOrder(resources: readonly Resource[]): Resource[] {
  return resources.toSorted((a, b) => ORDER[a.kind] - ORDER[b.kind]);
}

/** A resource, and the one stored under its name. */
export type Planned = Readonly<{ resource: Resource; stored: Resource | undefined }>;

type Member = Readonly<{ kind: "app" | "cron_job"; name: string; group: string; field: string }>;

/**
 * The violations of device_groups with missing members: neither in the files, nor on the server, nor in the stored
 * group (a member of the stored group is not checked again).
 * @param exists called once with each name
 */
export async function missingMembers(
  planned: readonly Planned[],
  exists: (members: readonly Pick<Member, "kind" | "name">[]) => Promise<readonly boolean[]>,
): Promise<Violation[]> {
  const described = new Set(planned.map(({ resource }) => key({ kind: resource.kind, name: entityOf(resource).name })));
  const toCheck = planned.flatMap(({ resource, stored }) => {
    const held = new Set(membersOf(stored).map(key));
    return membersOf(resource).filter((member) => !described.has(key(member)) && !held.has(key(member)));
  });
  const names = [...new Map(toCheck.map((member) => [key(member), member])).values()];
  const found = await exists(names);
  const missing = new Set(names.filter((_, index) => found[index] === false).map(key));
  return toCheck
    .filter((member) => missing.has(key(member)))
    .map(({ kind, name, group, field }) => ({
      field: `device_group ${group}: ${field}`,
      description: `there is no ${kind} "${name}", neither in the files nor on the server: create it, or leave it out`,
    }));
}

function membersOf(resource: Resource | undefined): Member[] {
  if (resource?.kind !== "device_group") return [];
  const group: DeviceGroup = resource.deviceGroup;
  const members = (kind: Member["kind"], names: readonly string[]) =>
    names.map((name, index) => ({ kind, name, group: group.name, field: `${kind}s[${index}]` }));
  return [...members("app", group.apps), ...members("cron_job", group.cronJobs)];
}

function key({ kind, name }: { kind: Resource["kind"]; name: string }): string {
  return `${kind} ${name}`;
}

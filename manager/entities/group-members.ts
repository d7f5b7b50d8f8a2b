import { assertNoViolations, type Violation } from "../../common/errors/nebula-error.ts";
import type { ConfigStore } from "../../common/storage/config-store.ts";
import { isName } from "../../common/validation/names.ts";
import type { DeviceGroup } from "../../gen/nebula/v1/device_group_pb.ts";
import type { Principal } from "../access/principal.ts";
import { assertPermitted } from "../access/rights/permit.ts";
import type { CallContext } from "../rpc/call-context.ts";

/**
 * Throws `permission_denied` where a group comes to name an app or cron_job that the caller may not read, be it there or not: who may read a group's config
 * reads its members there, secret values included, so naming them must not open what was closed. Throws `invalid_argument` where one does not exist.
 * Names that the group had before are not looked at again.
 */
export async function checkAddedMembers(
  store: Pick<ConfigStore, "getMany">,
  group: DeviceGroup,
  before: DeviceGroup | undefined,
  { principal, signal }: Pick<CallContext, "principal" | "signal">,
): Promise<void> {
  mayName(principal, "app", group.apps, before?.apps ?? []);
  mayName(principal, "cron_job", group.cronJobs, before?.cronJobs ?? []);
  const violations = [
    ...(await missing(store, "app", "apps", group.apps, before?.apps ?? [], signal)),
    ...(await missing(store, "cron_job", "cron_jobs", group.cronJobs, before?.cronJobs ?? [], signal)),
  ];
  assertNoViolations(violations);
}

function mayName(caller: Principal, kind: "app" | "cron_job", names: readonly string[], before: readonly string[]): void {
  const known = new Set(before);
  for (const name of names) if (!known.has(name) && isName(name)) assertPermitted(caller, { kind: "read", entity: { kind, name } }, false);
}

async function missing(
  store: Pick<ConfigStore, "getMany">,
  kind: "app" | "cron_job",
  field: "apps" | "cron_jobs",
  names: readonly string[],
  before: readonly string[],
  signal: AbortSignal,
): Promise<Violation[]> {
  const known = new Set(before);
  const added = names.filter((name) => !known.has(name) && isName(name));
  if (added.length === 0) return [];
  const stored = await store.getMany(kind, added, { signal });
  return names.flatMap((name, index) => {
    if (known.has(name) || !isName(name) || stored.get(name)?.deleted === false) return [];
    return [{ field: `${field}[${index}]`, description: `there is no ${kind} ${name}; create it first, or leave it out` }];
  });
}

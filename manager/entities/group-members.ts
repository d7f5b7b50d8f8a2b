import { assertNoViolations, NebulaError } from "../../common/errors/nebula-error.ts";
import type { ConfigStore } from "../../common/storage/config-store.ts";
import { listed, quote } from "../../common/text/wording.ts";
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
  assertMayName(principal, group, before);
  const added = [
    ...(await missing(store, "app", "apps", group.apps, before?.apps ?? [], signal)),
    ...(await missing(store, "cron_job", "cron_jobs", group.cronJobs, before?.cronJobs ?? [], signal)),
  ];
  assertNoViolations(
    added.map(({ field, kind, name }) => ({ field, description: `there is no ${kind} ${quote(name)}: create it, or leave it out` })),
  );
}

/**
 * Throws `failed_precondition` with the members of a group that do not exist, whether it had them before or not, and `permission_denied` as checkAddedMembers
 * does.
 */
export async function assertMembersExist(
  store: Pick<ConfigStore, "getMany">,
  group: DeviceGroup,
  before: DeviceGroup | undefined,
  { principal, signal }: Pick<CallContext, "principal" | "signal">,
): Promise<void> {
  assertMayName(principal, group, before);
  const gone = [
    ...(await missing(store, "app", "apps", group.apps, [], signal)),
    ...(await missing(store, "cron_job", "cron_jobs", group.cronJobs, [], signal)),
  ];
  if (gone.length === 0) return;
  const which = listed(gone.map(({ kind, name }) => `${kind} ${name}`));
  throw new NebulaError(
    "failed_precondition",
    `device_group ${group.name} had ${which} then, which ${gone.length === 1 ? "does" : "do"} not exist now: create ${gone.length === 1 ? "it" : "them"} first, or update the group instead`,
  );
}

function assertMayName(caller: Principal, group: DeviceGroup, before: DeviceGroup | undefined): void {
  mayName(caller, "app", group.apps, before?.apps ?? []);
  mayName(caller, "cron_job", group.cronJobs, before?.cronJobs ?? []);
}

function mayName(caller: Principal, kind: "app" | "cron_job", names: readonly string[], before: readonly string[]): void {
  const known = new Set(before);
  for (const name of names) if (!known.has(name) && isName(name)) assertPermitted(caller, { kind: "read", entity: { kind, name } }, false);
}

type MissingMember = Readonly<{ field: string; kind: "app" | "cron_job"; name: string }>;

async function missing(
  store: Pick<ConfigStore, "getMany">,
  kind: "app" | "cron_job",
  field: "apps" | "cron_jobs",
  names: readonly string[],
  before: readonly string[],
  signal: AbortSignal,
): Promise<MissingMember[]> {
  const known = new Set(before);
  const added = names.filter((name) => !known.has(name) && isName(name));
  if (added.length === 0) return [];
  const stored = await store.getMany(kind, added, { signal });
  return names.flatMap((name, index) => {
    if (known.has(name) || !isName(name) || stored.get(name)?.deleted === false) return [];
    return [{ field: `${field}[${index}]`, kind, name }];
  });
}

import { toBinary } from "@bufbuild/protobuf";
import { publishedPort } from "../../common/net/published-address.ts";
import type { EntityKey } from "../../common/storage/config-store.ts";
import { listed } from "../../common/text/wording.ts";
import { portsOfOriginal } from "../../common/v2/starting-ports.ts";
import { protocolOf, type SharedClaim, sharedClaimWarning, sharedPortClaims } from "../../common/validation/ports.ts";
import { type Config, ConfigSchema } from "../../gen/nebula/v1/config_pb.ts";
import type { Principal } from "../access/principal.ts";
import { readableBy } from "../access/rights/visible-pages.ts";
import { composeConfig, configSizeWarning } from "../config/group-config.ts";
import { missingNames, readWarnings } from "./name-warnings.ts";
import type { EntityDeps } from "./write-entity.ts";

/** Groups that are checked after a change of one of their members; others get no warning. */
const GROUPS_LOOKED_AT = 10;
/** Pairs of apps of one group that a warning about a shared port names. */
const CLAIMS_TOLD = 20;

type Deps = Pick<EntityDeps, "configStore" | "log" | "isPolled">;
type Member = EntityKey & { readonly kind: "app" | "cron_job" };

/** Returns warnings about a group after a write of it. The write is stored: if the store fails now, the answer has no warnings. */
export function warningsOfGroup(deps: Deps, name: string): Promise<string[]> {
  return readWarnings(deps, async () => {
    const composed = await composeConfig(deps.configStore, name);
    if (composed.kind !== "config") return [];
    const { config } = composed;
    const ports = await portWarnings(deps, config, config.apps);
    return [...danglingNames(config), ...claimWarnings(config, () => true), ...ports, ...sizeWarnings(config)];
  });
}

/** Returns warnings about the groups that name a changed app or cron_job, if the caller may read them. */
export function warningsOfMember(deps: Deps, member: Member, caller: Principal): Promise<string[]> {
  return readWarnings(deps, async () => {
    const warnings: string[] = [];
    const { visible } = await groupsNaming(deps, member, caller);
    for (const group of visible.slice(0, GROUPS_LOOKED_AT)) {
      const composed = await composeConfig(deps.configStore, group);
      if (composed.kind !== "config") continue;
      const concerns = ({ holder, other }: SharedClaim) => holder === member.name || other === member.name;
      const { config } = composed;
      const changed = config.apps.filter(({ name }) => name === member.name);
      if (member.kind === "app") warnings.push(...claimWarnings(config, concerns), ...(await portWarnings(deps, config, changed)));
      warnings.push(...sizeWarnings(config));
    }
    return warnings;
  });
}

/** Returns a warning with the groups that still name a deleted entity, and the number of those that the caller may not read. */
export function warningsOfDelete(deps: Deps, member: Member, caller: Principal): Promise<string[]> {
  return readWarnings(deps, async () => {
    const { visible, count } = await groupsNaming(deps, member, caller);
    if (count === 0) return [];
    const names = visible.length === 0 ? "" : `: ${listed(visible)}`;
    const hidden = visible.length === count || visible.length === 0 ? "" : ` and ${count - visible.length} that you may not read`;
    const still = `${member.kind} ${member.name} is still named by ${count} device_group${count === 1 ? "" : "s"}`;
    return [`${still}${names}${hidden}; ${count === 1 ? "its" : "their"} devices remove the containers of ${member.name}`];
  });
}

async function groupsNaming(
  { configStore }: Deps,
  { kind, name }: Member,
  caller: Principal,
): Promise<{ visible: readonly string[]; count: number }> {
  const groups = await configStore.groupsNaming(kind, name);
  const isVisible = readableBy<string>(caller, "device_group", (group) => group);
  return { visible: isVisible === undefined ? groups : groups.filter(isVisible), count: groups.length };
}

/** Returns warnings about members of a config that do not exist. */
export function danglingNames({ deviceGroup, apps, cronJobs }: Config): string[] {
  const owner = `device_group ${deviceGroup}`;
  const dangling = {
    app: apps.flatMap(({ name, app }) => (app === undefined ? [name] : [])),
    cron_job: cronJobs.flatMap(({ name, cronJob }) => (cronJob === undefined ? [name] : [])),
  };
  return [...missingNames(owner, "app", dangling.app), ...missingNames(owner, "cron_job", dangling.cron_job)];
}

function claimWarnings({ deviceGroup, apps }: Config, concerns: (claim: SharedClaim) => boolean): string[] {
  const running = apps.flatMap(({ app }) => (app === undefined ? [] : [app]));
  return sharedPortClaims(running, CLAIMS_TOLD)
    .filter(concerns)
    .map((claim) => sharedClaimWarning(deviceGroup, claim));
}

/** Returns warnings of the ports that workers of the original do not get of these apps, where they poll the group. */
async function portWarnings({ isPolled }: Deps, { deviceGroup }: Config, apps: Config["apps"]): Promise<string[]> {
  const warnings = apps.flatMap(({ name, app }) => {
    const known = new Set(portsOfOriginal(app?.startingPorts ?? []));
    const left = (app?.startingPorts ?? []).filter((port) => !known.has(port));
    if (left.length === 0) return [];
    const ports = listed(left.map(({ hostAddress, hostPort, protocol }) => `${publishedPort(hostAddress, hostPort)}/${protocolOf(protocol)}`));
    const who = `workers of the original that poll device_group ${deviceGroup}`;
    return [`${who} get app ${name} without host port ${ports}: they know neither UDP nor host addresses`];
  });
  return warnings.length > 0 && (await isPolled(deviceGroup)) ? warnings : [];
}

function sizeWarnings(config: Config): string[] {
  const warning = configSizeWarning(toBinary(ConfigSchema, config).byteLength);
  return warning === undefined ? [] : [`device_group ${config.deviceGroup}: ${warning}`];
}

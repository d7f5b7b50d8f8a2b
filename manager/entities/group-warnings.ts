import { toBinary } from "@bufbuild/protobuf";
import { messageOf } from "../../common/errors/nebula-error.ts";
import type { EntityKey } from "../../common/storage/config-store.ts";
import { portsOfOriginal } from "../../common/v2/starting-ports.ts";
import { publishedPort } from "../../common/validation/host-address.ts";
import { type SharedClaim, sharedClaimWarning, sharedPortClaims } from "../../common/validation/port-claims.ts";
import { protocolOf } from "../../common/validation/ports.ts";
import { listed } from "../../common/validation/sentence.ts";
import { type Config, ConfigSchema } from "../../gen/nebula/v1/config_pb.ts";
import { readableBy } from "../access/visible-pages.ts";
import type { Principal } from "../rpc/call-context.ts";
import { composeConfig } from "../watch/compose-config.ts";
import { configSizeWarning } from "../watch/config-size.ts";
import type { EntityDeps } from "./write-entity.ts";

/** Groups that are looked at after a change of one of their members; of the others nothing is said. */
const GROUPS_LOOKED_AT = 10;
/** Pairs of apps of one group that are told to claim one port. */
const CLAIMS_TOLD = 20;

type Deps = Pick<EntityDeps, "configStore" | "log" | "isPolled">;
type Member = EntityKey & { readonly kind: "app" | "cron_job" };

/** What looks unintended in a group as it is now. The write is done: a store that fails now costs the warnings, not the answer. */
export function warningsOfGroup(deps: Deps, name: string): Promise<string[]> {
  return readWarnings(deps, async () => {
    const composed = await composeConfig(deps.configStore, name);
    if (composed.kind !== "config") return [];
    const { config } = composed;
    return [...danglingNames(config), ...claimWarnings(config, () => true), ...portWarnings(deps, config, config.apps), ...sizeWarnings(config)];
  });
}

/** What a change of an app or a cron_job leads to in the groups that name it, as far as the caller may read them. */
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
      if (member.kind === "app") warnings.push(...claimWarnings(config, concerns), ...portWarnings(deps, config, changed));
      warnings.push(...sizeWarnings(config));
    }
    return warnings;
  });
}

/** Which groups still name what was just deleted; of those that the caller may not read, how many. */
export function warningsOfDelete(deps: Deps, member: Member, caller: Principal): Promise<string[]> {
  return readWarnings(deps, async () => {
    const { visible, count } = await groupsNaming(deps, member, caller);
    if (count === 0) return [];
    const names = visible.length === 0 ? "" : `: ${listed(visible)}`;
    const hidden = visible.length === count || visible.length === 0 ? "" : ` and ${count - visible.length} that you may not read`;
    const still = `${member.kind} ${member.name} is still named by ${count} device_group${count === 1 ? "" : "s"}`;
    return [`${still}${names}${hidden}; their devices remove its containers`];
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

async function readWarnings({ log }: Deps, read: () => Promise<string[]>): Promise<string[]> {
  try {
    return await read();
  } catch (error) {
    log.warn({ error: messageOf(error) }, "the warnings about a change could not be read");
    return [];
  }
}

function danglingNames({ deviceGroup, apps, cronJobs }: Config): string[] {
  const dangling = [
    ["app", apps.flatMap(({ name, app }) => (app === undefined ? [name] : []))],
    ["cron_job", cronJobs.flatMap(({ name, cronJob }) => (cronJob === undefined ? [name] : []))],
  ] as const;
  return dangling.flatMap(([kind, names]) => {
    if (names.length === 0) return [];
    const which = names.length === 1 ? `the ${kind} ${names[0]}, which does not exist` : `${kind}s that do not exist: ${listed(names)}`;
    return [`device_group ${deviceGroup} names ${which}`];
  });
}

function claimWarnings({ deviceGroup, apps }: Config, concerns: (claim: SharedClaim) => boolean): string[] {
  const running = apps.flatMap(({ app }) => (app === undefined ? [] : [app]));
  return sharedPortClaims(running, CLAIMS_TOLD)
    .filter(concerns)
    .map((claim) => sharedClaimWarning(deviceGroup, claim));
}

/** Which ports of these apps are left out of what workers of the original get of a group that they poll. */
function portWarnings({ isPolled }: Deps, { deviceGroup }: Config, apps: Config["apps"]): string[] {
  if (!isPolled(deviceGroup)) return [];
  return apps.flatMap(({ name, app }) => {
    const known = new Set(portsOfOriginal(app?.startingPorts ?? []));
    const left = (app?.startingPorts ?? []).filter((port) => !known.has(port));
    if (left.length === 0) return [];
    const ports = listed(left.map(({ hostAddress, hostPort, protocol }) => `${publishedPort(hostAddress, hostPort)}/${protocolOf(protocol)}`));
    const who = `workers of the original that poll device_group ${deviceGroup}`;
    return [`${who} get app ${name} without host port ${ports}: they know neither UDP nor host addresses`];
  });
}

function sizeWarnings(config: Config): string[] {
  const warning = configSizeWarning(toBinary(ConfigSchema, config).byteLength);
  return warning === undefined ? [] : [`device_group ${config.deviceGroup}: ${warning}`];
}

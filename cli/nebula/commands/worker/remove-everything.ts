import { systemClock } from "../../../../common/clock/system-clock.ts";
import { assertNever } from "../../../../common/errors/assert-never.ts";
import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import { createLog } from "../../../../common/log/log.ts";
import { type Inventory, type PartOutcome, Uninstall } from "../../../../worker/uninstall.ts";
import type { CommandContext, NebulaIo } from "../../command/command.ts";
import { onStopSignal } from "../../command/stop-signals.ts";

/**
 * `nebula worker --remove-everything`: shows what the worker made on this device, asks, and removes it. Returns the exit
 * code: 0 if all of it is removed. Rejects if nobody agreed.
 */
export async function removeEverything({ settings, own, io }: CommandContext): Promise<number> {
  const signal = onStopSignal(io.complain);
  const log = createLog({ level: settings.logLevel, format: settings.logFormat, part: "worker" });
  const removesVolumes = own.get("volumes") === "true";
  try {
    await using uninstall = await Uninstall.open({ settings, removesVolumes, clock: systemClock, log, signal });
    const { inventory } = uninstall;
    for (const line of leftAlone(inventory)) io.print(line);
    const parts = partsOf(inventory);
    if (parts.length === 0) {
      io.print(`nothing of instance ${settings.instance} is left to remove on this device`);
      return 0;
    }
    io.print(`To be removed from this device: ${parts.join("; ")}.`);
    io.print(
      removesVolumes ? "The containers' anonymous volumes are removed, too." : "The containers' anonymous volumes stay: --volumes removes them, too.",
    );
    if (own.get("yes") !== "true") await confirm(io, signal);
    const isDone = await uninstall.remove((outcome) => show(outcome, io));
    if (!isDone) {
      io.complain("nebula: not everything could be removed; the same command resumes where this one ended");
      return 1;
    }
    for (const line of onServer(inventory)) io.print(line);
    return 0;
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new NebulaError("cancelled", "stopped before everything was removed; the same command resumes where this one ended", { cause: error });
  }
}

async function confirm(io: NebulaIo, signal: AbortSignal): Promise<void> {
  const terminal = await io.openTerminal();
  if (terminal === undefined) throw new NebulaError("failed_precondition", "nothing was removed: without a terminal to ask on, --yes is needed");
  const answer = await terminal.ask("Remove all of it? [y/N] ", signal);
  if (!/^y(es)?$/i.test(answer.trim())) throw new NebulaError("cancelled", "nothing was removed");
}

function partsOf({ containers, hasNetwork, dataFolder }: Inventory): string[] {
  return [
    ...(containers.length === 0 ? [] : [`${containers.length === 1 ? "container" : `${containers.length} containers:`} ${containers.join(", ")}`]),
    ...(hasNetwork ? ["network nebula, unless other containers are on it"] : []),
    ...(dataFolder === undefined ? [] : [`the worker's files in ${dataFolder}`]),
  ];
}

/** The containers of this instance that stay, a line for each cluster. */
function leftAlone({ foreignCluster }: Inventory): string[] {
  const byCluster = Map.groupBy(foreignCluster, ({ clusterId }) => clusterId);
  return [...byCluster].map(([clusterId, of]) => {
    const names = of.map(({ container }) => container.name).sort();
    const which = `${names.length === 1 ? "container" : "containers"} ${names.join(", ")}`;
    if (clusterId === undefined) return `Left alone: ${which}, whose label of the cluster is missing or malformed.`;
    return `Left alone: ${which} of cluster ${clusterId}, which this data folder never followed; --take-over ${clusterId} includes that cluster.`;
  });
}

function show(outcome: PartOutcome, io: NebulaIo): void {
  switch (outcome.kind) {
    case "removed":
      io.print(`removed: ${outcome.part}`);
      break;
    case "kept":
      io.print(`stays: ${outcome.part}: ${outcome.reason}`);
      break;
    case "failed":
      io.complain(`nebula: not removed: ${outcome.part}: ${outcome.reason}`);
      break;
    default:
      assertNever(outcome);
  }
}

/** How the server forgets the device. */
function onServer({ deviceId }: Inventory): string[] {
  const id = deviceId ?? "DEVICE";
  return [
    "Images and named volumes stay. The server still knows the device; it is forgotten by:",
    `  nebulactl devices revoke ${id}    # its token, if it has one`,
    `  nebulactl devices delete ${id}`,
  ];
}

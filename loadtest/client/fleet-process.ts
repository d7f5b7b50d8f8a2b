import { assertNever } from "../../common/errors/assert-never.ts";
import { messageOf, NebulaError } from "../../common/errors/nebula-error.ts";
import { FleetPart } from "./fleet-part.ts";
import type { FleetAnswer, FleetCommand } from "./fleet-protocol.ts";

/** One process of the load fleet, driven by messages from the bench; it ends with it. */

let part: FleetPart | undefined;

function answer(message: FleetAnswer): void {
  process.send?.(message);
}

function connected(): FleetPart {
  if (part === undefined) throw new NebulaError("internal", "connect comes first");
  return part;
}

async function obey(command: FleetCommand): Promise<void> {
  switch (command.kind) {
    case "connect": {
      const { target, firstDevice, count, concurrency } = command;
      part ??= new FleetPart(target);
      const devices = Array.from({ length: count }, (_, i) => firstDevice + i);
      return answer({ kind: "connected", tookMs: await part.connect(devices, concurrency) });
    }
    case "arm": {
      const { arrived, reported } = connected().arm(command.reports);
      answer({ kind: "armed" });
      await Promise.all([
        arrived.then((at) => answer({ kind: "arrived", at })),
        reported.then((at) => command.reports !== undefined && answer({ kind: "reported", at })),
      ]);
      return;
    }
    case "reconnect":
      return answer({ kind: "reconnected", tookMs: await connected().reconnect(command.count) });
    case "stick":
      connected().stick(command.count);
      return answer({ kind: "stuck" });
    case "ping":
      await connected().ping();
      return answer({ kind: "ponged" });
    case "measure-traffic":
      return answer({ kind: "traffic", ...(await connected().measureTraffic(command.pings, command.everyMs)) });
    default:
      return assertNever(command);
  }
}

process.on("message", (command: FleetCommand) => {
  obey(command).catch((error) => answer({ kind: "failed", reason: messageOf(error) }));
});
process.on("disconnect", () => process.exit());

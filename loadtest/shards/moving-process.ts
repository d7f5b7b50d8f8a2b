import { systemClock } from "../../common/clock/system-clock.ts";
import { assertNever } from "../../common/errors/assert-never.ts";
import { messageOf, NebulaError } from "../../common/errors/nebula-error.ts";
import { MovingDevices } from "./moving-devices.ts";
import type { MovingAnswer, MovingCommand } from "./moving-fleet.ts";

/** The process of the devices that follow their shard, driven by messages from the bench; it ends with it. */

const life = new AbortController();
let devices: MovingDevices | undefined;

function started(): MovingDevices {
  if (devices === undefined) throw new NebulaError("internal", "start comes first");
  return devices;
}

async function obey(command: MovingCommand): Promise<MovingAnswer> {
  switch (command.kind) {
    case "start":
      devices = new MovingDevices(command.options, systemClock, life.signal);
      await devices.start();
      return { kind: "started" };
    case "steady":
      await started().steady(command.forMs);
      return { kind: "steady" };
    case "move":
      return { kind: "moved", moves: await started().moved(command.to) };
    default:
      return assertNever(command);
  }
}

process.on("message", (command: MovingCommand) => {
  obey(command).then(
    (answer) => process.send?.(answer),
    (error) => process.send?.({ kind: "failed", reason: messageOf(error) }),
  );
});
process.on("disconnect", () => process.exit());

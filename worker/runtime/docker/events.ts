import type { RuntimeEvent } from "../container-runtime.ts";
import { type Json, numberOf, recordOf, textMapOf, textOf } from "../json.ts";

/** The events to ask of the engine: without the three of every health check and exec, which would wake an idle worker for nothing. */
export const EVENT_FILTERS = {
  type: ["container", "image", "network"],
  event: [
    ...["create", "start", "restart", "die", "oom", "stop", "kill", "pause", "unpause", "rename", "update", "destroy", "health_status"],
    ...["pull", "load", "import", "tag", "untag", "delete"],
    ...["connect", "disconnect", "remove"],
  ],
};

/** Keys that the engine puts beside the labels of a container. */
const NO_LABELS: ReadonlySet<string> = new Set(["image", "name", "oldName", "exitCode", "signal", "execID", "execDuration"]);

/** One line of `GET /events`; undefined for an event of another type. */
export function parseEvent(line: unknown): RuntimeEvent | undefined {
  const event = recordOf(line);
  const type = event.Type;
  const actor = recordOf(event.Actor);
  const action = textOf(event.Action);
  const id = textOf(actor.ID);
  if ((type !== "container" && type !== "image" && type !== "network") || action === "" || id === "") return undefined;
  const more = action === "die" ? { exitCode: exitCodeOf(actor) } : type === "network" ? { containerId: containerOf(actor) } : {};
  return { type, action, id, labels: type === "container" ? labelsOf(actor) : {}, ...more, at: timeOfEvent(event) };
}

function containerOf(actor: Json): string | undefined {
  return textOf(recordOf(actor.Attributes).container) || undefined;
}

function exitCodeOf(actor: Json): number | undefined {
  const code = textOf(recordOf(actor.Attributes).exitCode);
  return /^\d{1,3}$/.test(code) ? Number(code) : undefined;
}

function labelsOf(actor: Json): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(textMapOf(actor.Attributes)).filter(([name]) => !NO_LABELS.has(name)));
}

function timeOfEvent({ timeNano, time }: Json): number {
  return numberOf(timeNano) > 0 ? Math.trunc(numberOf(timeNano) / 1_000_000) : numberOf(time) * 1000;
}

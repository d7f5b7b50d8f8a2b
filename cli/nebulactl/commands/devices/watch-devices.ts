import { Code } from "@connectrpc/connect";
import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import { lastStateCell, problemsOfDevice, wellCell } from "../../../../common/insight/text/device-text.ts";
import { jsonText, printableLine } from "../../../../common/printable.ts";
import { counted } from "../../../../common/text/wording.ts";
import { ConnectionState, type Device, DeviceService } from "../../../../gen/nebula/v1/device_pb.ts";
import type { Command } from "../../command/command.ts";
import type { CommandContext } from "../../command/context.ts";
import type { TextFlag } from "../../command/flags.ts";
import { reopened } from "../../connection/reopened-stream.ts";
import { unlessRefused } from "../../errors/unless-refused.ts";
import { deviceJson } from "../../views/device-view.ts";
import { deviceGroupKind } from "../entities/device-group-kind.ts";
import { allPages } from "../lists/pages.ts";
import { FILTER_FLAGS, filterOf } from "./device-filter.ts";

/** The most device_groups of one watch, as the API has it. */
const MOST_GROUPS = 20;

const GROUPS: TextFlag = {
  kind: "text",
  name: "device-group",
  short: "d",
  placeholder: "GROUP",
  offers: { names: "device_group" },
  repeatable: true,
  help: `Only of this device_group. Repeat it for more. Default: all, if there are at most ${MOST_GROUPS}.`,
};

/** The texts of a device of which a change is printed. */
type Seen = Readonly<{ connected: string; state: string; containers: string; worker: string; problem: string }>;

/** `watch`: a line for each change of a device. */
export const watchDevices: Command = {
  kind: "command",
  name: "watch",
  summary: "Prints a line for each change of a device, until Ctrl-C.",
  details: [
    "A line has the time, the device, its device_group and what changed: the connection, the state, the containers that are well, the worker, and the first",
    "problem. A stream that breaks is opened again; changes of a device in between become one line. With -o json each line is an object with the whole device.",
  ],
  flags: [GROUPS, ...FILTER_FLAGS],
  outputs: ["table", "json"],
  examples: ["nebulactl devices watch --device-group pos", "nebulactl devices watch -d pos -d till --failing -o json"],
  async run(context) {
    const { values, signal, io } = context;
    const filter = await filterOf(context);
    const deviceGroups = values.has(GROUPS) ? [...new Set(values.all(GROUPS))] : await allGroups(context);
    const client = await context.client(DeviceService);
    const printer = new ChangePrinter(context);
    const messages = reopened({
      open: (until) => client.watchDevices({ deviceGroups, filter }, { signal: until, timeoutMs: 0 }),
      onBreak: (error) => error !== undefined && io.err("the connection broke; trying again\n"),
      clock: io.clock,
      signal,
    });
    for await (const { opening, message } of messages) {
      printer.startOpening(opening);
      for (const device of message.devices) printer.take(device);
      for (const { deviceId } of message.left) printer.leave(deviceId);
      if (message.complete) printer.complete(deviceGroups.length);
    }
    return 0;
  },
};

/** The device_groups that this login may read. Rejects with NebulaError (invalid_argument) if there are none, or too many for one watch. */
async function allGroups(context: CommandContext): Promise<string[]> {
  const names: string[] = [];
  const read = async () => {
    for await (const { name } of allPages((size, token) => deviceGroupKind.calls.page(context, size, token), { limit: MOST_GROUPS + 1 }))
      names.push(name);
  };
  await unlessRefused(read(), Code.PermissionDenied);
  if (names.length > 0 && names.length <= MOST_GROUPS) return names;
  const why = names.length === 0 ? "there is no device_group to watch" : `there are more than ${MOST_GROUPS} device_groups`;
  throw new NebulaError("invalid_argument", `${why}; use --device-group GROUP, which may be repeated`);
}

/**
 * Prints the changes of devices. The devices that are there when the watch begins are counted, not printed; after a new opening those are changes that
 * differ from what was known.
 */
class ChangePrinter {
  readonly #context: CommandContext;
  readonly #known = new Map<string, Seen>();
  /** Devices known before this opening that it did not send yet. */
  #unseen = new Set<string>();
  #opening = 0;
  #listed = false;

  constructor(context: CommandContext) {
    this.#context = context;
  }

  startOpening(opening: number): void {
    if (opening === this.#opening) return;
    this.#opening = opening;
    this.#unseen = new Set(this.#known.keys());
  }

  take(device: Device): void {
    const { deviceId } = device;
    const before = this.#known.get(deviceId);
    const after = seenOf(device);
    this.#known.set(deviceId, after);
    this.#unseen.delete(deviceId);
    if (!this.#listed) return;
    const changes = before === undefined ? [`new: ${after.connected}, ${after.state}`] : changesBetween(before, after);
    if (changes.length > 0) this.#print(device, changes);
  }

  leave(deviceId: string): void {
    if (!this.#known.delete(deviceId)) return;
    this.#unseen.delete(deviceId);
    this.#line(deviceId, "", ["left"], { device_id: deviceId, changes: ["left"] });
  }

  complete(groups: number): void {
    for (const deviceId of this.#unseen) this.leave(deviceId);
    if (this.#listed) return;
    this.#listed = true;
    this.#context.io.err(`watching ${counted(this.#known.size, "device")} in ${counted(groups, "device_group")}; Ctrl-C ends it\n`);
  }

  #print(device: Device, changes: readonly string[]): void {
    this.#line(device.deviceId, device.deviceGroup, changes, { changes: [...changes], device: deviceJson(device) });
  }

  #line(deviceId: string, group: string, changes: readonly string[], json: Readonly<Record<string, ReturnType<typeof deviceJson>>>): void {
    const { io, output } = this.#context;
    const time = new Date(io.clock.now()).toISOString();
    if (output === "json") io.out(`${jsonText({ time, ...json })}\n`);
    else io.out(`${printableLine([time, deviceId, ...(group === "" ? [] : [group]), changes.join("; ")].join("  "))}\n`);
  }
}

function changesBetween(before: Seen, after: Seen): string[] {
  const { problem: was, ...texts } = before;
  const { problem } = after;
  const moved = Object.entries(texts).flatMap(([name, text]) => {
    const now = Object.entries(after).find(([other]) => other === name)?.[1] ?? "";
    return text === now ? [] : [`${name === "state" || name === "connected" ? "" : `${name} `}${text || "none"} -> ${now || "none"}`];
  });
  return [...moved, ...(problem === was ? [] : [problem === "" ? "no problem" : problem])];
}

function seenOf(device: Device): Seen {
  const text = (cell: ReturnType<typeof wellCell>) => (typeof cell === "string" ? cell : cell.text);
  const { connection, summary } = device;
  return {
    connected: connection?.state === ConnectionState.ONLINE ? "online" : connection?.state === ConnectionState.OFFLINE ? "offline" : "unknown",
    state: text(lastStateCell(device)),
    containers: text(wellCell(device)),
    worker: summary?.workerVersion ?? "",
    problem: problemsOfDevice(device)[0] ?? "",
  };
}

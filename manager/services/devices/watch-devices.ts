import type { MessageInitShape } from "@bufbuild/protobuf";
import { Alarm } from "../../../common/clock/alarm.ts";
import type { Clock } from "../../../common/clock/clock.ts";
import { assertNoViolations, type Violation } from "../../../common/errors/nebula-error.ts";
import { matchesFilter, validateDeviceFilter } from "../../../common/insight/device-filter.ts";
import { DeviceTally } from "../../../common/insight/device-tally.ts";
import { isSameConfig } from "../../../common/insight/newest-config.ts";
import { validateName } from "../../../common/validation/names.ts";
import type { Device, DeviceFilter, WatchDevicesRequest, WatchDevicesResponseSchema } from "../../../gen/nebula/v1/device_pb.ts";
import { assertMayReadGroups } from "../../access/rights/permit.ts";
import type { GroupView } from "../../insight/views/group-view.ts";
import type { StreamContext } from "../../rpc/call-context.ts";
import type { Compared, FleetReader } from "./fleet-reader.ts";
import { answered } from "./list-devices.ts";

// A watch of devices. It holds the ids of devices that changed since they were sent, each once, so a slow reader costs no queue: a device is sent as it is when its
// message is made.

/** Devices of a message. */
const MOST_DEVICES = 100;
const MOST_GROUPS = 20;
/** Messages are at least this far apart, once all devices were sent: four a second. Milliseconds. */
const PACE_MS = 250;
/** How often the newest config of each group, and filters that time changes, are looked at. Milliseconds. */
const LOOK_MS = 10_000;

export type WatchDevicesParts = Readonly<{ fleet: FleetReader; clock: Clock }>;
type WatchMessage = MessageInitShape<typeof WatchDevicesResponseSchema>;

export async function* watchDevices(
  { fleet, clock }: WatchDevicesParts,
  request: WatchDevicesRequest,
  context: StreamContext,
): AsyncGenerator<WatchMessage> {
  assertNoViolations(violationsOf(request));
  const { signal } = context;
  const deviceGroups = [...new Set(request.deviceGroups)].sort();
  assertMayReadGroups(context.principal, deviceGroups);
  context.keepAllowed((now) => assertMayReadGroups(now, deviceGroups));

  using stack = new DisposableStack();
  const alarm = new Alarm(clock);
  const groups: WatchedGroup[] = [];
  for (const name of deviceGroups) {
    const view = stack.use(await fleet.openNamed(name, signal));
    const group = new WatchedGroup(view, await fleet.compared(name, signal), request);
    stack.use(
      view.onChange((changes) => {
        group.changed(changes);
        alarm.ring();
      }),
    );
    groups.push(group);
  }
  const until = AbortSignal.any([signal, ...groups.map(({ view }) => view.ended)]);

  let lookAt = clock.monotonic() + LOOK_MS;
  let wasComplete = false;
  for (;;) {
    until.throwIfAborted();
    const message = messageOf(groups, fleet.nowMs());
    if (!isEmpty(message) || !wasComplete) {
      yield message;
      wasComplete = message.complete;
    }
    if (!message.complete) continue;
    await clock.sleep(PACE_MS, until);
    while (clock.monotonic() < lookAt && !(await alarm.wait(lookAt - clock.monotonic(), until)));
    if (clock.monotonic() < lookAt) continue;
    for (const group of groups) group.look(await fleet.compared(group.view.deviceGroup, until), fleet.nowMs());
    lookAt = clock.monotonic() + LOOK_MS;
  }
}

type Message = Readonly<{
  devices: Device[];
  left: { deviceId: string; deviceGroup: string }[];
  counts: ReturnType<DeviceTally["counts"]>[];
  complete: boolean;
}>;

function messageOf(groups: readonly WatchedGroup[], nowMs: number): Message {
  const message: Message = { devices: [], left: [], counts: [], complete: true };
  for (const group of groups) group.take(message, nowMs);
  const complete = groups.every(({ isSent }) => isSent);
  // counts of a list that is not complete yet would be sent with each of its parts
  return { ...message, complete, counts: complete ? groups.flatMap((group) => group.takeCounts()) : [] };
}

function isEmpty({ devices, left, counts }: Message): boolean {
  return devices.length === 0 && left.length === 0 && counts.length === 0;
}

/** A group, what of it has to be sent, and what the reader has of it. */
class WatchedGroup {
  readonly view: GroupView;
  readonly #filter: DeviceFilter | undefined;
  readonly #countsOnly: boolean;
  /** Ids of devices to look at, each once. */
  readonly #open: Set<string>;
  /** Ids of devices that the reader has. */
  readonly #sent = new Set<string>();
  #compared: Compared;
  #tally: DeviceTally;
  #counted = false;

  constructor(view: GroupView, compared: Compared, { filter, countsOnly }: Pick<WatchDevicesRequest, "filter" | "countsOnly">) {
    this.view = view;
    this.#filter = filter;
    this.#countsOnly = countsOnly;
    this.#open = new Set(countsOnly ? [] : view.devices.keys());
    this.#compared = compared;
    this.#tally = this.#count();
  }

  get isSent(): boolean {
    return this.#open.size === 0;
  }

  changed(changes: Parameters<Parameters<GroupView["onChange"]>[0]>[0]): void {
    for (const { before, after } of changes) {
      if (before !== undefined) this.#tally.remove(before);
      if (after !== undefined) this.#tally.add(after);
      const deviceId = (after ?? before)?.deviceId;
      if (deviceId !== undefined && !this.#countsOnly) this.#open.add(deviceId);
    }
    this.#counted = false;
  }

  /** Takes what time, or a newer config, changed without a change of a device. */
  look(compared: Compared, nowMs: number): void {
    if (!isSameConfig(compared.newest, this.#compared.newest)) {
      this.#compared = compared;
      this.#tally = this.#count();
      this.#counted = false;
    }
    if (this.#countsOnly || this.#filter === undefined) return;
    for (const device of this.view.devices.values()) {
      if (this.#matches(device, nowMs) !== this.#sent.has(device.deviceId)) this.#open.add(device.deviceId);
    }
  }

  /** Moves devices into a message until that is full. */
  take({ devices, left }: Message, nowMs: number): void {
    const { deviceGroup } = this.view;
    for (const deviceId of this.#open) {
      if (devices.length >= MOST_DEVICES || left.length >= MOST_DEVICES) return;
      this.#open.delete(deviceId);
      const device = this.view.devices.get(deviceId);
      if (device !== undefined && this.#matches(device, nowMs)) {
        this.#sent.add(deviceId);
        devices.push(answered({ deviceGroup, device }));
      } else if (this.#sent.delete(deviceId)) left.push({ deviceId, deviceGroup });
    }
  }

  /** The counts, where they changed since they were taken. */
  takeCounts(): ReturnType<DeviceTally["counts"]>[] {
    if (this.#counted) return [];
    this.#counted = true;
    return [this.#tally.counts(this.view.deviceGroup)];
  }

  #matches(device: Parameters<typeof matchesFilter>[0], nowMs: number): boolean {
    return this.#filter === undefined || matchesFilter(device, this.#filter, { nowMs, ...this.#compared });
  }

  #count(): DeviceTally {
    const tally = new DeviceTally(this.#compared.newest);
    for (const device of this.view.devices.values()) tally.add(device);
    return tally;
  }
}

function violationsOf({ deviceGroups, filter }: WatchDevicesRequest): Violation[] {
  const number = deviceGroups.length;
  const description = `invalid device_groups: ${number} of them; use 1 to ${MOST_GROUPS}, such as ["pos"]`;
  return [
    ...(number === 0 || number > MOST_GROUPS ? [{ field: "device_groups", description }] : []),
    ...deviceGroups.slice(0, MOST_GROUPS).flatMap((name, index) => validateName(name, `device_groups[${index}]`)),
    ...validateDeviceFilter(filter),
  ];
}

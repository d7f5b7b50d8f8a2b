import { setImmediate as turn } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Alarm } from "../../../common/clock/alarm.ts";
import type { Clock } from "../../../common/clock/clock.ts";
import { assertNoViolations, type Violation } from "../../../common/errors/nebula-error.ts";
import { validateDeviceFilter } from "../../../common/insight/device-filter.ts";
import { validateName } from "../../../common/validation/names.ts";
import type { DeviceCounts, WatchDevicesRequest, WatchDevicesResponseSchema } from "../../../gen/nebula/v1/device_pb.ts";
import { assertMayReadGroups } from "../../access/rights/permit.ts";
import { AT_ONCE } from "../../insight/views/in-turns.ts";
import type { StreamContext } from "../../rpc/call-context.ts";
import { assertMayReadTarget } from "./device-target.ts";
import type { FleetReader } from "./fleet-reader.ts";
import { type Changed, WatchedGroup } from "./watched-group.ts";

// A watch of devices: a device is sent as it is when its message is made, so a slow reader costs no queue.

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
  const readFollowed = () => fleet.followed(request.filter, context.principal, signal);
  let followed = await readFollowed();
  context.keepAllowed((now) => {
    assertMayReadGroups(now, deviceGroups);
    assertMayReadTarget(now, request.filter);
  });

  using stack = new DisposableStack();
  const alarm = new Alarm(clock);
  const groups: WatchedGroup[] = [];
  for (const name of deviceGroups) {
    const view = stack.use(await fleet.openNamed(name, signal));
    const group = new WatchedGroup(view, { ...(await fleet.compared(name, signal)), followed }, request);
    stack.use(
      view.onChange((changes) => {
        group.changed(changes);
        alarm.ring();
      }),
    );
    groups.push(group);
    await group.count(signal);
  }
  const until = AbortSignal.any([signal, ...groups.map(({ view }) => view.ended)]);

  let lookAt = clock.monotonic() + LOOK_MS;
  let wasComplete = false;
  for (;;) {
    until.throwIfAborted();
    const message = messageOf(groups, fleet.nowMs());
    if (!isEmpty(message) || (message.complete && !wasComplete)) {
      yield message;
      wasComplete = message.complete;
    }
    if (!message.complete) {
      await turn(); // a filter may leave out all that one turn looks at
      continue;
    }
    await clock.sleep(PACE_MS, until);
    while (clock.monotonic() < lookAt && !(await alarm.wait(lookAt - clock.monotonic(), until)));
    if (clock.monotonic() < lookAt) continue;
    followed = await readFollowed();
    for (const group of groups) await group.look({ ...(await fleet.compared(group.view.deviceGroup, until)), followed }, fleet.nowMs(), until);
    lookAt = clock.monotonic() + LOOK_MS;
  }
}

type Message = Changed & Readonly<{ counts: DeviceCounts[]; complete: boolean }>;

function messageOf(groups: readonly WatchedGroup[], nowMs: number): Message {
  const message: Message = { devices: [], left: [], counts: [], complete: true };
  let looks = AT_ONCE;
  for (const group of groups) looks -= group.take(message, looks, nowMs);
  const complete = groups.every(({ isSent }) => isSent);
  // counts of a list that is not complete yet would be sent with each of its parts
  return { ...message, complete, counts: complete ? groups.flatMap((group) => group.takeCounts()) : [] };
}

function isEmpty({ devices, left, counts }: Message): boolean {
  return devices.length === 0 && left.length === 0 && counts.length === 0;
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

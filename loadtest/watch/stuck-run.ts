import { Fleet } from "../client/fleet.ts";
import { median } from "../measure/quantiles.ts";
import type { RunFigures } from "../measure/run-figures.ts";
import type { Subject, SubjectOptions } from "../subjects/subject.ts";
import { idle, pushAll, type RunOptions } from "./subject-run.ts";

type StuckFigures = Required<Pick<RunFigures, "beforeStuckLastDeviceMs" | "stuckLastDeviceMs" | "stuckBytesPerDevice">>;

const READING = 150;
const STUCK = 50;
/** The kernel holds up to some 4 MB for a socket that is not read; what exceeds that is the server's to keep, or to let go: hence pushes near the largest that an app may have. */
const PAYLOAD_BYTES = 60_000;

export type StuckOptions = Pick<RunOptions, "settleMs" | "fleetProcessors" | "signal" | "say"> & {
  /** Pushes after which what the kernel holds for a stuck device is full: 120, or fewer where only the way is tried. */
  readonly pushesToFill: number;
};

/** Devices that stop reading beside some that go on, on a server of their own: what each of them costs, and whether they delay the others. */
export async function runStuck(
  open: (options: SubjectOptions) => Promise<Subject>,
  subjectOptions: SubjectOptions,
  options: StuckOptions,
): Promise<StuckFigures> {
  const { pushesToFill, fleetProcessors, signal, say } = options;
  const pushes = Math.ceil(pushesToFill / 4);
  await using subject = await open({ ...subjectOptions, payloadBytes: PAYLOAD_BYTES });
  await using fleet = new Fleet({ devices: READING + STUCK, processors: fleetProcessors, signal });
  await fleet.connect(await subject.target());
  await pushAll(subject, fleet, pushes); // warms up
  const free = await pushAll(subject, fleet, pushes);
  const before = await idle(subject, options);
  await fleet.stick(STUCK);
  await pushAll(subject, fleet, pushesToFill);
  const stuck = await pushAll(subject, fleet, pushes);
  const after = await idle(subject, options);
  say(`${subject.name}: past ${STUCK} stuck devices the last one has it after ${median(stuck.lastFromRequest).toFixed(1)} ms`);
  return {
    beforeStuckLastDeviceMs: median(free.lastFromRequest),
    stuckLastDeviceMs: median(stuck.lastFromRequest),
    stuckBytesPerDevice: Math.max(0, after.rssBytes - before.rssBytes) / STUCK,
  };
}

import { sharedNow } from "../client/fleet-protocol.ts";
import { median, quantile } from "../measure/quantiles.ts";
import { StolenTime } from "../measure/stolen-time.ts";
import { followApply, measureStreams, type StreamMemory } from "./apply-streams.ts";
import { type ConnectedFleet, connectFleet, type FleetOptions, idleCpuUs } from "./connected-fleet.ts";

export type ApplyRunOptions = FleetOptions &
  Readonly<{
    /** Changes of each kind that count. */
    changes: number;
    /** Changes of each kind before those, after which the code of the server is compiled. */
    warmUpChanges: number;
    /** Where to write a CPU profile of one more change of each kind; undefined: no profile. */
    profile: string | undefined;
    say: (line: string) => void;
  }>;

/** Kinds of changes: whether each device reports once after it took the config, and how many WatchApply are opened when the write is answered. */
const KINDS = {
  silent: { isReporting: false, streams: 0 },
  reporting: { isReporting: true, streams: 0 },
  oneStream: { isReporting: true, streams: 1 },
  twoStreams: { isReporting: true, streams: 2 },
} as const;

export type ChangeKind = keyof typeof KINDS;
export const CHANGE_KINDS: readonly ChangeKind[] = ["silent", "reporting", "oneStream", "twoStreams"];

/** Medians of the changes of one kind. Times are milliseconds since the write was asked for. */
export type ChangeFigures = Readonly<{
  lastDeviceMs: number;
  /** Until half of the devices had the config. */
  halfMs: number;
  /** Until every report was answered: its status is folded and stored by then. NaN where no device reports. */
  foldedMs: number;
  /** Until the streams had their verdict, that every device applied the change. NaN without a stream. */
  verdictMs: number;
  /** Processor time of the server, microseconds for each device. */
  cpuUsPerDevice: number;
  /** How long the event loop of the server was held: half of its turns, 99 % of them, and the longest of all changes. */
  heldP50Ms: number;
  heldP99Ms: number;
  heldMaxMs: number;
}>;

/** Processor time of the server by what it is for, microseconds for each device: differences of kinds, medians of rounds. */
export type CpuShares = Readonly<{
  push: number;
  report: number;
  /** Of a device that connects: what a server that does not write presence is spared. */
  presence: number;
  /** Of the first stream: its mirror is loaded, follows the reports, and is read again before the verdict. */
  stream: number;
  secondStream: number;
}>;

export type ApplyFigures = Readonly<{
  /** Processor time of the server until a device has its first config, microseconds. */
  cpuUsPerWatch: number;
  changes: Readonly<Record<ChangeKind, ChangeFigures>>;
  cpu: CpuShares;
  memory: StreamMemory;
  /** The share of the processors' time that the host took away. */
  stolenShare: number;
}>;

type Change = { last: number; half: number; folded: number; verdict: number; cpuUs: number; heldP50: number; heldP99: number; heldMax: number };
/** A change of each kind. */
type Round = Readonly<Record<ChangeKind, Change>>;

/** One server and its fleet: changes of all kinds take turns, so that drift of the machine meets them alike. */
export async function runApply(options: ApplyRunOptions): Promise<ApplyFigures> {
  const { devices, changes, warmUpChanges, profile, say } = options;
  const withoutPresence = await connectOnly(options);
  await using connected = await connectFleet(options, true);
  const { manager, app, cpuUsPerWatch } = connected;
  const stolen = new StolenTime();
  say(`${devices} devices are connected`);

  const round = async (count: number): Promise<Round[]> => {
    const rounds: Round[] = [];
    for (let at = 0; at < count; at++) {
      const made = new Map<ChangeKind, Change>();
      for (const kind of at % 2 === 0 ? CHANGE_KINDS : CHANGE_KINDS.toReversed())
        made.set(kind, await stolen.during(() => makeChange(connected, kind, options)));
      rounds.push(recordOf((kind) => made.get(kind) ?? missing(kind)));
    }
    return rounds;
  };
  await round(warmUpChanges);
  const rounds = await round(changes);
  const memory = await measureStreams(manager, { app: app.apps[0] ?? "", revision: app.nextRevision(), devices });
  if (profile !== undefined) await manager.profile(profile, async () => void (await round(1)));
  const cpuOf = (figure: (round: Round) => number) => median(rounds.map(figure));
  return {
    cpuUsPerWatch,
    changes: recordOf((kind) => figuresOf(rounds.map((each) => each[kind]))),
    cpu: {
      push: cpuOf(({ silent }) => silent.cpuUs),
      report: cpuOf(({ silent, reporting }) => reporting.cpuUs - silent.cpuUs),
      presence: cpuUsPerWatch - withoutPresence,
      stream: cpuOf(({ reporting, oneStream }) => oneStream.cpuUs - reporting.cpuUs),
      secondStream: cpuOf(({ oneStream, twoStreams }) => twoStreams.cpuUs - oneStream.cpuUs),
    },
    memory,
    stolenShare: stolen.share,
  };
}

/** Processor time per new watch of a server that does not write presence, microseconds. */
async function connectOnly(options: ApplyRunOptions): Promise<number> {
  await using connected = await connectFleet(options, false);
  return connected.cpuUsPerWatch;
}

async function makeChange({ manager, app, fleet }: ConnectedFleet, kind: ChangeKind, options: ApplyRunOptions): Promise<Change> {
  const { devices } = options;
  const { isReporting, streams } = KINDS[kind];
  let change: Omit<Change, "heldP50" | "heldP99" | "heldMax"> | undefined;
  const held = await manager.loopDelays(async () => {
    const before = await manager.cpuUs();
    const revision = app.nextRevision();
    const { arrived, reported } = await fleet.arm(isReporting ? { reports: { apps: app.apps, revision } } : {});
    const askedAt = sharedNow();
    await app.push();
    const followed = Promise.all(Array.from({ length: streams }, () => followApply(manager, { app: app.apps[0] ?? "", revision, devices })));
    const [at, verdicts] = await Promise.all([arrived, followed]);
    const folded = isReporting ? (await reported) - askedAt : Number.NaN;
    const verdict = streams > 0 ? Math.max(...verdicts) - askedAt : Number.NaN;
    const cpuUs = ((await idleCpuUs(manager, options)) - before) / devices;
    change = { last: quantile(at, 1) - askedAt, half: median(at) - askedAt, folded, verdict, cpuUs };
  });
  if (!isReporting) await fleet.ping(); // a device that is silent for 30 s after a push is taken for dead
  return { ...(change ?? missing(kind)), heldP50: held.p50Ms, heldP99: held.p99Ms, heldMax: held.maxMs };
}

function figuresOf(changes: readonly Change[]): ChangeFigures {
  const of = (figure: keyof Change) => median(changes.map((change) => change[figure]));
  return {
    lastDeviceMs: of("last"),
    halfMs: of("half"),
    foldedMs: of("folded"),
    verdictMs: of("verdict"),
    cpuUsPerDevice: of("cpuUs"),
    heldP50Ms: of("heldP50"),
    heldP99Ms: of("heldP99"),
    heldMaxMs: Math.max(...changes.map(({ heldMax }) => heldMax)),
  };
}

function recordOf<T>(of: (kind: ChangeKind) => T): Record<ChangeKind, T> {
  return { silent: of("silent"), reporting: of("reporting"), oneStream: of("oneStream"), twoStreams: of("twoStreams") };
}

function missing(kind: ChangeKind): never {
  throw new Error(`a change without figures: ${kind}`);
}

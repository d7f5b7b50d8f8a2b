import { assertNever } from "../errors/assert-never.ts";
import type { HostPort } from "./container-spec.ts";
import type { Desired, DesiredApp, DesiredCronJob, DesiredInstance, RunningApp } from "./desired.ts";
import { portsCollide } from "./host-ports.ts";
import { placesOf, progressOf } from "./places.ts";
import { type PortClaims, portClaims } from "./port-claims.ts";
import { foreseenPull } from "./pull-need.ts";

/** A container as far as a device reported it. */
export type KnownContainer = Readonly<{
  /** undefined: its place is not known. */
  index: number | undefined;
  /** The hash of the spec that it was made with; undefined: not known, so it is taken for another one than the wanted spec. */
  hash: string | undefined;
  /** The host ports of that spec; empty if it is not known. */
  ports: readonly HostPort[];
  isUp: boolean;
  /** Whether it ran, is down, and has a name that no replacement left it with: of a refused app only such a container is started again. */
  hasRun: boolean;
}>;

export type KnownApp = Readonly<{
  containers: readonly KnownContainer[];
  /** The `change` of the newest pull for the app; "": there was none; undefined: not known. */
  pulledChange: string | undefined;
  /** Whether it runs an image that could not be pulled. */
  isStale: boolean;
}>;

/** A device at rest, as far as its newest report and the revisions that it names tell. */
export type KnownDevice = Readonly<{
  /** By name; apps that are absent have no containers. */
  apps: ReadonlyMap<string, KnownApp>;
  /** By name: the containers of runs, and the revision whose schedule is in force. */
  cronJobs: ReadonlyMap<string, Readonly<{ containers: number; appliedRevision: bigint }>>;
  /** Normalised references of images that are on the device for certain. */
  images: ReadonlySet<string>;
}>;

export type StepKind =
  | "recreate"
  | "start"
  | "stop"
  | "remove"
  | "scale_up"
  | "scale_down"
  | "start_again"
  /** A container is made, and waits for a host port that a container which stays holds. */
  | "wait_for_port"
  | "pull"
  | "pull_if_missing"
  | "schedule";

/** Steps of a device about one app or cron_job. `image`: of a pull, otherwise empty. */
export type TargetStep = Readonly<{ target: "app" | "cron_job"; name: string; step: StepKind; containers: number; image: string }>;

const UNKNOWN_APP: KnownApp = { containers: [], pulledChange: undefined, isStale: false };

/**
 * Returns the steps of a device at rest to a desired state, if every step succeeds: the decisions of the worker's plan (`places.ts`,
 * `port-claims.ts`, `pull-need.ts`) over what is known of the device. Pulls come last, each image once. Pure.
 */
export function deviceSteps(desired: Desired, device: KnownDevice): readonly TargetStep[] {
  const claims = portClaims(desired);
  const slots = desired.apps.flatMap((app) => (app.kind === "running" ? slotsOf(app, device.apps.get(app.name) ?? UNKNOWN_APP, claims) : []));
  const pulls = desired.apps.flatMap((app) => (app.kind === "running" ? pullOf(app, device, slots) : []));
  const pulled = new Set(pulls.filter(({ isCertain }) => isCertain).map(({ name }) => name));
  const fate = fateOf(slots, desired, device, claims);
  const named = new Set(desired.apps.map(({ name }) => name));
  const left = [...device.apps].filter(([name]) => !named.has(name));
  const apps = [
    ...desired.apps.flatMap((app) => appSteps(app, device, slots, { ...fate, isPulled: pulled.has(app.name) })),
    ...left.flatMap(([name, { containers }]) => about(name, "remove", containers.length)),
  ];
  return [...apps, ...cronJobSteps(desired.cronJobs, device), ...pullSteps(pulls)];
}

/** The place of one container of an app, and the containers in it. */
type Slot = Readonly<{
  app: RunningApp;
  instance: DesiredInstance;
  right: readonly KnownContainer[];
  wrong: readonly KnownContainer[];
  progress: ReturnType<typeof progressOf>;
  /** No new container is made here. */
  isBlocked: boolean;
  hasLostClaim: boolean;
}>;

function slotsOf(app: RunningApp, known: KnownApp, claims: PortClaims): Slot[] {
  const places = placesOf(app.instances.length, known.containers);
  return app.instances.map((instance) => {
    const upFirst = [...places.at(instance.index)].sort((a, b) => Number(b.isUp) - Number(a.isUp));
    const right = upFirst.filter(({ hash }) => hash === instance.hash);
    const hasLostClaim = claims.lost(app.name, instance.index) !== undefined;
    return {
      app,
      instance,
      right,
      wrong: upFirst.filter((container) => !right.includes(container)),
      progress: progressOf(right, ({ isUp }) => isUp),
      isBlocked: instance.refusal !== undefined || hasLostClaim,
      hasLostClaim,
    };
  });
}

type AppFate = Fate & Readonly<{ /** Whether the image of the app is pulled for certain. */ isPulled: boolean }>;

type Fate = Readonly<{
  /** Slots whose new container waits for a port that a container which stays holds. */
  held: ReadonlySet<Slot>;
  /** Slots whose container gives up its ports to one with a better claim. */
  evicted: ReadonlySet<Slot>;
  /** Slots whose old container is down, stays, and is started again: its ports are free, and due to no new container. */
  revived: ReadonlySet<Slot>;
  /** Containers of refused apps that are started again: their ports are free, and due to no new container. */
  restarted: ReadonlySet<KnownContainer>;
}>;

/** Finds the slots that wait for ports in vain: a slot that waits keeps its old container, whose ports another one may wait for. */
function fateOf(slots: readonly Slot[], desired: Desired, device: KnownDevice, claims: PortClaims): Fate {
  const isUnstarted = ({ progress, isBlocked }: Slot) => progress !== "settled" && !isBlocked;
  const winners = (port: HostPort) =>
    claims.winners(port).map((claim) => slots.find(({ app, instance }) => app.name === claim.app && instance.index === claim.index));
  const evicted = new Set(
    slots.filter(
      ({ progress, hasLostClaim, instance }) =>
        progress === "settled" &&
        hasLostClaim &&
        instance.spec.ports.some((port) => winners(port).some((slot) => slot !== undefined && isUnstarted(slot))),
    ),
  );
  const refused = desired.apps.flatMap((app) => (app.kind === "refused" ? (device.apps.get(app.name)?.containers ?? []) : []));
  const held = new Set<Slot>();
  const isDue = (port: HostPort, taker: Slot | undefined) =>
    winners(port).some((slot) => slot !== undefined && slot !== taker && isUnstarted(slot) && !held.has(slot));
  let revived: ReadonlySet<Slot> = new Set();
  let taken: readonly HostPort[] = [];
  for (let before = -1; before !== held.size; ) {
    before = held.size;
    const up = slots.flatMap((slot) => stayingPorts(slot, held, evicted).map((port) => ({ port, slot })));
    revived = revivedOf(slots, up, held, isDue);
    const staying = [...up, ...[...revived].flatMap((slot) => (slot.wrong[0]?.ports ?? []).map((port) => ({ port, slot })))];
    const others = refused.filter(({ isUp }) => isUp).flatMap(({ ports }) => ports);
    taken = [...staying.map(({ port }) => port), ...others];
    for (const slot of slots.filter(isUnstarted)) {
      const collides = (port: HostPort) => slot.instance.spec.ports.some((own) => portsCollide(own, port));
      if (others.some(collides) || staying.some((holder) => holder.slot !== slot && collides(holder.port))) held.add(slot);
    }
  }
  return { held, evicted, revived, restarted: restartedOf(refused, taken, (port) => isDue(port, undefined)) };
}

/** @param taken the ports of the containers that are up, and stay */
function restartedOf(
  refused: readonly KnownContainer[],
  taken: readonly HostPort[],
  isDue: (port: HostPort) => boolean,
): ReadonlySet<KnownContainer> {
  const held = [...taken];
  const restarted = new Set<KnownContainer>();
  for (const container of refused) {
    if (!container.hasRun || container.ports.some((port) => isDue(port) || held.some((other) => portsCollide(port, other)))) continue;
    held.push(...container.ports);
    restarted.add(container);
  }
  return restarted;
}

function revivedOf(
  slots: readonly Slot[],
  up: readonly Readonly<{ port: HostPort; slot: Slot }>[],
  held: ReadonlySet<Slot>,
  isDue: (port: HostPort, taker: Slot) => boolean,
): ReadonlySet<Slot> {
  const taken = up.map(({ port }) => port);
  const revived = new Set<Slot>();
  for (const slot of slots) {
    const [old] = slot.wrong;
    if (slot.progress !== "wanted" || old === undefined || old.isUp || !(slot.isBlocked || held.has(slot))) continue;
    if (old.ports.some((port) => isDue(port, slot) || taken.some((other) => portsCollide(port, other)))) continue;
    taken.push(...old.ports);
    revived.add(slot);
  }
  return revived;
}

/** The ports of the container of a slot that is up, and not removed. */
function stayingPorts(slot: Slot, held: ReadonlySet<Slot>, evicted: ReadonlySet<Slot>): readonly HostPort[] {
  if (slot.progress === "settled") return evicted.has(slot) ? [] : slot.instance.spec.ports;
  const [old] = slot.wrong;
  return (slot.isBlocked || held.has(slot)) && old?.isUp === true ? old.ports : [];
}

function appSteps(app: DesiredApp, device: KnownDevice, slots: readonly Slot[], fate: AppFate): TargetStep[] {
  const { containers } = device.apps.get(app.name) ?? UNKNOWN_APP;
  switch (app.kind) {
    case "gone":
      return about(app.name, "remove", containers.length);
    case "stopped":
      return about(app.name, "stop", containers.length);
    case "refused":
      return about(app.name, "start_again", containers.filter((container) => fate.restarted.has(container)).length);
    case "running":
      return runningSteps(
        app,
        containers,
        slots.filter((slot) => slot.app === app),
        fate,
      );
    default:
      return assertNever(app);
  }
}

function runningSteps({ name, instances }: RunningApp, containers: readonly KnownContainer[], slots: readonly Slot[], fate: AppFate): TargetStep[] {
  const { surplus } = placesOf(instances.length, containers);
  const counts = new Map<StepKind, number>();
  const add = (step: StepKind, count = 1) => counts.set(step, (counts.get(step) ?? 0) + count);
  for (const slot of slots) countSlot(slot, fate, { hasContainers: containers.length > 0, isPulled: fate.isPulled }, add);
  add("scale_down", surplus.length);
  return [...counts].flatMap(([step, count]) => about(name, step, count));
}

function countSlot(
  slot: Slot,
  { held, evicted, revived }: Fate,
  { hasContainers, isPulled }: Readonly<{ hasContainers: boolean; isPulled: boolean }>,
  add: (step: StepKind, count?: number) => void,
): void {
  const { right, wrong, progress, isBlocked, hasLostClaim } = slot;
  const copies = Math.max(0, right.length - 1);
  switch (progress) {
    case "settled":
      add("remove", wrong.length + copies + (evicted.has(slot) ? 1 : 0));
      return;
    case "exchanging":
      if (isBlocked && (hasLostClaim || wrong.length > 0)) add("remove", right.length + Math.max(0, wrong.length - 1));
      else if (isBlocked || held.has(slot)) add("remove", copies);
      else {
        add("start_again");
        add("remove", wrong.length + copies);
      }
      return;
    case "wanted":
      if (wrong.length > 1) add("remove", wrong.length - 1);
      // the old container runs until the image is there
      if (revived.has(slot) || (isPulled && wrong[0]?.isUp === false && !isBlocked && !held.has(slot))) add("start_again");
      if (isBlocked) return;
      if (held.has(slot)) add("wait_for_port");
      else if (wrong.length > 0) add("recreate");
      else add(hasContainers ? "scale_up" : "start");
      return;
    default:
      assertNever(progress);
  }
}

/** The pull that the new containers of an app need; none if no container is made. */
function pullOf(app: RunningApp, device: KnownDevice, slots: readonly Slot[]): { name: string; image: string; isCertain: boolean }[] {
  const own = slots.filter((slot) => slot.app === app);
  if (!own.some(({ progress, isBlocked }) => progress === "wanted" && !isBlocked)) return [];
  const { pulledChange, isStale } = device.apps.get(app.name) ?? UNKNOWN_APP;
  const need = foreseenPull({
    policy: app.pullPolicy,
    isWanted: true,
    isStale,
    sameSpecExists: own.some(({ right }) => right.length > 0),
    isLocal: device.images.has(app.image) ? true : undefined,
    isPulledForSpec: pulledChange === undefined ? undefined : pulledChange === app.change,
    isUsed: undefined,
  });
  return need === "no" ? [] : [{ name: app.name, image: app.image, isCertain: need === "yes" }];
}

/** Each image once: it is pulled for all that need it. */
function pullSteps(pulls: ReturnType<typeof pullOf>): TargetStep[] {
  return [...Map.groupBy(pulls, ({ image }) => image)].flatMap(([image, same]) => {
    const [first] = same.toSorted((a, b) => Number(b.isCertain) - Number(a.isCertain));
    if (first === undefined) return [];
    const step = first.isCertain ? "pull" : "pull_if_missing";
    return [{ target: "app", name: first.name, step, containers: 0, image }];
  });
}

function cronJobSteps(desired: readonly DesiredCronJob[], { cronJobs }: KnownDevice): TargetStep[] {
  const named = new Set(desired.map(({ name }) => name));
  const gone = [...cronJobs].filter(([name]) => !named.has(name)).map(([name, { containers }]) => ({ name, containers }));
  const steps = desired.flatMap((job): TargetStep[] => {
    const known = cronJobs.get(job.name);
    if (job.kind === "gone") return about(job.name, "remove", known?.containers ?? 0, "cron_job");
    if (job.kind === "refused" || known?.appliedRevision === job.revision) return [];
    return [{ target: "cron_job", name: job.name, step: "schedule", containers: 0, image: "" }];
  });
  return [...steps, ...gone.flatMap(({ name, containers }) => about(name, "remove", containers, "cron_job"))];
}

function about(name: string, step: StepKind, containers: number, target: TargetStep["target"] = "app"): TargetStep[] {
  return containers === 0 ? [] : [{ target, name, step, containers, image: "" }];
}

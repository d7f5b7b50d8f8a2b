/** The way of a change to a device as links of a chain, in the words of `nebulactl why`. Pure. */
import { explanationText } from "../../../../../common/insight/text/explanation-text.ts";
import { printableLine } from "../../../../../common/printable.ts";
import { entityKindOf } from "../../../../../common/resources/target-kind.ts";
import { cellText, type Field } from "../../../../../common/text/cell.ts";
import { ConnectionState } from "../../../../../gen/nebula/v1/device_pb.ts";
import { type Advice, type Explanation, StuckAt, type TargetExplanation } from "../../../../../gen/nebula/v1/explain_pb.ts";
import { changeAddress } from "../../addresses/entity-addresses.ts";

/** `working`: it goes on by itself. `ahead`: the change is not there yet. `offline`: it was there, and the device is not connected now. */
export type LinkState = "done" | "working" | "stuck" | "ahead" | "offline";

export type Link = Readonly<{ name: LinkName; state: LinkState; lines: readonly string[] }>;

export type LinkName = "desired" | "connected" | "delivered" | "applied" | "containers";

export type Chain = Readonly<{
  key: string;
  /** `web`, `cron_job nightly`. */
  title: string;
  links: readonly Link[];
  /** The address of the newest change. */
  change: string | undefined;
  isStuck: boolean;
  advice: readonly Readonly<{ text: string; command: string }>[];
}>;

/** The fields of nebulactl by the link of which they speak. */
const FIELDS: readonly Readonly<{ name: LinkName; fields: readonly string[] }>[] = [
  { name: "desired", fields: ["desired"] },
  { name: "connected", fields: ["connected"] },
  { name: "delivered", fields: ["config", "fault", "problem"] },
  { name: "applied", fields: ["applied", "step", "note"] },
  { name: "containers", fields: ["containers"] },
];

/** The link at which each place is; of those that are not listed nothing is stuck. */
const PLACES: Readonly<Partial<Record<StuckAt, LinkName>>> = {
  [StuckAt.NOT_IN_GROUP]: "desired",
  [StuckAt.NO_TARGET]: "desired",
  [StuckAt.NEVER_CONNECTED]: "connected",
  [StuckAt.OFFLINE]: "connected",
  [StuckAt.NO_GROUP]: "delivered",
  [StuckAt.CONFIG]: "delivered",
  [StuckAt.NEVER_REPORTED]: "delivered",
  [StuckAt.DELIVERY]: "delivered",
  [StuckAt.DEVICE]: "delivered",
  [StuckAt.WORKING]: "applied",
  [StuckAt.STEP]: "applied",
  [StuckAt.CONTAINERS]: "containers",
};

/** The chain of each app and cron_job that is explained; those that are stuck come first, as the server sends them. */
export function chainsOf(explanation: Explanation): readonly Chain[] {
  return explanation.targets.map((target) => chainOf(target, explanation));
}

function chainOf(target: TargetExplanation, explanation: Explanation): Chain {
  const alone = { ...explanation, targets: [target], moreTargets: 0, hiddenTargets: 0 };
  const fields = explanationText(alone).blocks.flat();
  const kind = entityKindOf(target.kind);
  const revision = target.desired?.revision;
  const place = PLACES[target.stuckAt];
  const at = place === undefined ? FIELDS.length : FIELDS.findIndex(({ name }) => name === place);
  const isOffline = explanation.connection?.state === ConnectionState.OFFLINE;
  const isMoving = target.stuckAt === StuckAt.WORKING || target.stuckAt === StuckAt.DELIVERY;
  return {
    key: `${kind}/${target.name}`,
    change: kind === undefined || revision === undefined ? undefined : changeAddress({ kind, name: target.name, revision }),
    title: `${kind === "app" || kind === undefined ? "" : `${kind} `}${printableLine(target.name)}`,
    links: FIELDS.map(({ name, fields: names }, index) => ({
      name,
      state: index < at ? (name === "connected" && isOffline ? "offline" : "done") : index > at ? "ahead" : isMoving ? "working" : "stuck",
      lines: fields.filter(([field]) => names.includes(field)).map(lineOf),
    })),
    isStuck: place !== undefined,
    advice: adviceOf([...explanation.problems.flatMap(({ advice }) => advice), ...target.advice]),
  };
}

/** Returns what is said of the device where it has nothing to run, and what is said besides the chains. */
export function restOf(explanation: Explanation): Readonly<{ lines: readonly string[]; advice: Chain["advice"] }> {
  const { blocks, rest } = explanationText(explanation);
  const device = explanation.targets.length > 0 ? [] : (blocks[0] ?? []).filter(([field]) => field !== "do" && field !== "");
  const advice = explanation.targets.length > 0 ? [] : [...explanation.problems.flatMap(({ advice }) => advice), ...explanation.advice];
  return { lines: [...device.map(([field, value]) => `${field}: ${lineOf([field, value])}`), ...rest], advice: adviceOf(advice) };
}

function lineOf([, value]: Field): string {
  const line = printableLine(cellText(value));
  const mark = line.lastIndexOf("  <- ");
  return mark < 0 ? line : `${line.slice(0, mark).trimEnd()} - ${line.slice(mark + 5)}`;
}

function adviceOf(advice: readonly Advice[]): Chain["advice"] {
  const lines = advice.map(({ text, command }) => ({ text: printableLine(text), command: printableLine(command) }));
  return lines.filter(({ text, command }, index) => lines.findIndex((one) => one.text === text && one.command === command) === index);
}

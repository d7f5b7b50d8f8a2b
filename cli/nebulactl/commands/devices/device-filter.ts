import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import { DESCENDING, ORDER_WORDS, SORT_WORDS } from "../../../../common/insight/text/device-sort.ts";
import { targetKindOf } from "../../../../common/resources/target-kind.ts";
import { parseDuration } from "../../../../common/settings/parsers.ts";
import { enumValue, enumWords } from "../../../../common/text/enum-words.ts";
import {
  ConfigStanding,
  ConfigStandingSchema,
  ConnectionState,
  type DeviceFilter,
  DeviceFilterSchema,
  type DeviceTargetSchema,
} from "../../../../gen/nebula/v1/device_pb.ts";
import { FailureCode, FailureCodeSchema } from "../../../../gen/nebula/v1/report_pb.ts";
import type { CommandContext } from "../../command/context.ts";
import type { Flag, FlagValues, SwitchFlag, TextFlag } from "../../command/flags.ts";
import { parseTargetState, STATE } from "../../views/target-state.ts";
import { entityNamed } from "../history/entity-named.ts";

const CODES = enumWords(FailureCodeSchema);
const STANDINGS = enumWords(ConfigStandingSchema);

const STANDING: TextFlag = {
  kind: "text",
  name: "standing",
  placeholder: [...STANDINGS.keys()].join("|"),
  choices: [...STANDINGS.keys()],
  help: "Only devices that stand so with the newest config of their device_group, as nebulactl overview counts them; with --target, with that.",
};
const TARGET: TextFlag = {
  kind: "text",
  name: "target",
  placeholder: "NAME[@REVISION]",
  offers: { names: "entity" },
  help: "Only devices of the device_groups that have this app or cron_job, or of this device_group; cron_job/web where others have that name, too. @41: of that change.",
};
const ONLINE: SwitchFlag = { kind: "switch", name: "online", help: "Only devices that are connected." };
const OFFLINE: SwitchFlag = { kind: "switch", name: "offline", help: "Only devices that are not connected." };
export const OFFLINE_LONGER: TextFlag = {
  kind: "text",
  name: "offline-longer",
  placeholder: "DURATION",
  help: "Only devices that have been offline for longer than this: 30m, 1h, 90d.",
};
const FAILING: SwitchFlag = { kind: "switch", name: "failing", help: "Only devices with a failed app or cron_job, or a problem." };
const CODE: TextFlag = {
  kind: "text",
  name: "code",
  placeholder: "CODE",
  choices: [...CODES.keys()],
  help: "Only devices with an app or cron_job that has this code, such as no_space; with --standing failed, those that count under it.",
};
const PROBLEM: TextFlag = {
  kind: "text",
  name: "problem",
  placeholder: "CODE",
  help: "Only devices with this problem of the device as a whole: engine_unreachable, second_worker and the like.",
};
const NOT_NEWEST: SwitchFlag = { kind: "switch", name: "not-newest", help: "Only devices that do not run the newest config of their device_group." };
const WORKER_VERSION: TextFlag = {
  kind: "text",
  name: "worker-version",
  placeholder: "VERSION",
  help: "Only devices whose worker has this version.",
};
const IMAGE_ID: TextFlag = {
  kind: "text",
  name: "image-id",
  placeholder: "ID",
  help: "Only devices with a container of the image with this id, or an id that begins so.",
};

/** The order of a list. */
export const SORT: TextFlag = {
  kind: "text",
  name: "sort",
  placeholder: `FIELD[${DESCENDING}]`,
  choices: SORT_WORDS,
  help: `In this order: ${ORDER_WORDS.join(", ")}; with ${DESCENDING} the other way round.`,
};

/** The flags that choose devices, besides the device_group. */
export const FILTER_FLAGS: readonly Flag[] = [
  ...[STATE, STANDING, TARGET, ONLINE, OFFLINE, OFFLINE_LONGER, FAILING, CODE, PROBLEM],
  ...[NOT_NEWEST, WORKER_VERSION, IMAGE_ID],
];

/** The devices that the flags choose. Rejects with NebulaError (invalid_argument) if they exclude each other or a value is not valid. */
export async function filterOf(context: CommandContext): Promise<DeviceFilter> {
  const { values } = context;
  const longer = offlineLongerMs(values);
  const offline = values.on(OFFLINE) || longer > 0n;
  if (values.on(ONLINE) && offline) {
    const other = values.on(OFFLINE) ? OFFLINE : OFFLINE_LONGER;
    throw new NebulaError("invalid_argument", `--online and --${other.name} exclude each other; use one of them`);
  }
  return create(DeviceFilterSchema, {
    state: parseTargetState(values.text(STATE)),
    connection: values.on(ONLINE) ? ConnectionState.ONLINE : offline ? ConnectionState.OFFLINE : ConnectionState.UNSPECIFIED,
    offlineLongerMs: longer,
    failing: values.on(FAILING),
    failureCode: enumValue(FailureCode, CODES, values.text(CODE)) ?? FailureCode.UNSPECIFIED,
    standing: enumValue(ConfigStanding, STANDINGS, values.text(STANDING)) ?? ConfigStanding.UNSPECIFIED,
    problem: values.text(PROBLEM) ?? "",
    notNewest: values.on(NOT_NEWEST),
    workerVersion: values.text(WORKER_VERSION) ?? "",
    imageId: values.text(IMAGE_ID) ?? "",
    ...(values.has(TARGET) && { target: await targetOf(values.text(TARGET) ?? "", context) }),
  });
}

/** `web`, `cron_job/web`, `web@41`. Rejects as `entityNamed` does. */
async function targetOf(text: string, context: CommandContext): Promise<MessageInitShape<typeof DeviceTargetSchema>> {
  const [named = "", revision, ...more] = text.split("@");
  if (more.length > 0 || (revision !== undefined && !isRevision(revision))) {
    throw new NebulaError("invalid_argument", `invalid --${TARGET.name} "${text}": use a name such as web, cron_job/web, or web@41 for revision 41`);
  }
  const { kind, name } = await entityNamed(named, context);
  return { kind: targetKindOf(kind), name, revision: BigInt(revision ?? 0) };
}

function isRevision(text: string): boolean {
  return /^[1-9]\d{0,18}$/.test(text);
}

/** Milliseconds of --offline-longer; 0 if it was not given. Throws NebulaError (invalid_argument) if it is not a duration from 1s on. */
export function offlineLongerMs(values: FlagValues): bigint {
  const text = values.text(OFFLINE_LONGER);
  if (text === undefined) return 0n;
  const parsed = parseDuration(text.trim());
  if (parsed.kind === "value" && parsed.value >= 1000) return BigInt(parsed.value);
  throw new NebulaError("invalid_argument", `invalid --${OFFLINE_LONGER.name} "${text}": use a duration from 1s, such as 30m, 1h or 90d`);
}

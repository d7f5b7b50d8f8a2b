/** A rollback in words, and as the change that a plan takes. */
import { clone, create } from "@bufbuild/protobuf";
import { AppSchema } from "../../../gen/nebula/v1/app_pb.ts";
import { CronJobSchema } from "../../../gen/nebula/v1/cron_job_pb.ts";
import type { RollbackResponse } from "../../../gen/nebula/v1/history_pb.ts";
import { type PlannedChange, PlannedChangeSchema } from "../../../gen/nebula/v1/plan_pb.ts";
import { printableLine } from "../../printable.ts";
import { fieldLines } from "../../resources/field-changes.ts";
import type { EntityKey } from "../../storage/config-store.ts";
import { listed } from "../../text/wording.ts";

/** `app web  rolled back 42 -> 43, as revision 41 was`, and the fields that it changes, a line each. @param done whether it was written */
export function rollbackText({ kind, name }: EntityKey, answer: RollbackResponse, done: boolean): string {
  const { revisionBefore, revision, to, restored, differences, keptSecrets } = answer;
  const verb = `${done ? "" : "would be "}${restored ? "restored" : "rolled back"}`;
  const head =
    revision === revisionBefore
      ? `unchanged ${revision}: nothing differs from revision ${to}`
      : `${verb} ${revisionBefore} -> ${revision}, as revision ${to} was`;
  const fields = differences.flatMap((difference) => fieldLines(difference, restored));
  const width = Math.max(0, ...fields.map(([field]) => field.length));
  const kept = keptSecrets.length === 0 ? [] : [`as they are today: secret_env_vars ${listed(keptSecrets)}; --secrets brings the older values back`];
  return [
    `${kind} ${name}  ${head}\n`,
    ...fields.map(([field, change]) => `    ${printableLine(field).padEnd(width)}  ${printableLine(change)}\n`),
    ...kept.map((line) => `    ${printableLine(line)}\n`),
  ].join("");
}

/** Stands for a secret value that comes back: only the server knows it, and to devices it is another one than today's. */
const RETURNED_SECRET = "(a value that comes back)";

/** The change that a rollback makes, of its dry run; undefined if the answer has no body. */
export function plannedRollback({ body, differences, restored }: RollbackResponse): PlannedChange | undefined {
  if (body.case === undefined) return undefined;
  if (body.case === "deviceGroup") return create(PlannedChangeSchema, { change: body });
  const secrets = differences.find(({ field }) => field === "secret_env_vars");
  const today = restored ? {} : secretsIn(secrets === undefined ? JSON.stringify(body.value.secretEnvVars) : secrets.beforeJson);
  const withToday = (values: Record<string, string>) => {
    for (const [name, shown] of Object.entries(values)) if (today[name] !== shown) values[name] = RETURNED_SECRET;
  };
  if (body.case === "app") {
    const value = clone(AppSchema, body.value);
    withToday(value.secretEnvVars);
    return create(PlannedChangeSchema, { change: { case: "app", value } });
  }
  const value = clone(CronJobSchema, body.value);
  withToday(value.secretEnvVars);
  return create(PlannedChangeSchema, { change: { case: "cronJob", value } });
}

function secretsIn(json: string | undefined): Readonly<Record<string, unknown>> {
  const parsed: unknown = json === undefined ? {} : JSON.parse(json);
  return typeof parsed === "object" && parsed !== null ? { ...parsed } : {};
}

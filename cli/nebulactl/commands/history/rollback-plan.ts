import { clone, create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { AppSchema } from "../../../../gen/nebula/v1/app_pb.ts";
import { CronJobSchema } from "../../../../gen/nebula/v1/cron_job_pb.ts";
import type { RollbackResponse } from "../../../../gen/nebula/v1/history_pb.ts";
import { type PlannedChange, PlannedChangeSchema, type PlanResponse, PlanService } from "../../../../gen/nebula/v1/plan_pb.ts";
import type { CommandContext } from "../../command/context.ts";
import { unlessRefused } from "../../errors/unless-refused.ts";

/** Stands for a secret value that comes back: only the server knows it, and to devices it is another one than today's. */
const RETURNED_SECRET = "(a value that comes back)";

/** Plans what devices do after a rollback that a dry run described. Undefined if this login may not see that, or the server is too old to plan. */
export async function planOfRollback(planned: RollbackResponse, { client, signal }: CommandContext): Promise<PlanResponse | undefined> {
  const change = changeOf(planned);
  if (change === undefined) return undefined;
  const answer = (await client(PlanService)).plan({ changes: [change] }, { signal });
  return unlessRefused(answer, Code.PermissionDenied, Code.Unimplemented);
}

function changeOf({ body, differences, restored }: RollbackResponse): PlannedChange | undefined {
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

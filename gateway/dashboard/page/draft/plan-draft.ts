/** The plan of a draft, and what it allows. Pure but for the calls that it is given. */
import { Code, ConnectError } from "@connectrpc/connect";
import type { Violation } from "../../../../common/errors/nebula-error.ts";
import { planName, SHOWN_DIGITS } from "../../../../common/insight/plan-name.ts";
import { shellWord } from "../../../../common/text/wording.ts";
import { BadRequestSchema } from "../../../../gen/google/rpc/error_details_pb.ts";
import type { App } from "../../../../gen/nebula/v1/app_pb.ts";
import type { PlanResponse } from "../../../../gen/nebula/v1/plan_pb.ts";
import { plannedEntity } from "../data/planned-entity.ts";
import { takeOver } from "./take-over.ts";

/** The calls of a plan to the server. */
export type PlanCalls = Readonly<{
  plan: (app: App) => Promise<PlanResponse>;
  /** The app as it is now, undefined if it does not exist. */
  read: (name: string) => Promise<App | undefined>;
}>;

/** A plan of an app, and the app: what others changed meanwhile is in it. */
export type PlannedDraft = Readonly<{
  plan: PlanResponse;
  app: App;
  /** The stored app that its changes are compared with, undefined if there was none when the draft began. */
  read: App | undefined;
  /** The revision whose changes were taken over, undefined if nothing changed since the draft began. */
  takenOver: bigint | undefined;
  /** The fields that were changed meanwhile, and in the draft otherwise. */
  kept: readonly string[];
}>;

/** Times that a plan is made again because the app changed between its calls. */
const MOST_ROUNDS = 5;

/**
 * Plans a draft. Where the app has changed since it was read, what the draft did not touch is taken over first: what stands for a
 * secret that was changed would be refused.
 * @param read the stored app that the draft began with, undefined if it is about to be created
 */
export async function planDraft(calls: PlanCalls, draft: App, read: App | undefined): Promise<PlannedDraft> {
  let taken: Omit<PlannedDraft, "plan"> = { app: draft, read, takenOver: undefined, kept: [] };
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const newest = taken.read && (await calls.read(draft.name));
    if (taken.read !== undefined && newest !== undefined && newest.revision !== taken.read.revision) {
      const { app, kept } = takeOver(taken.read, taken.app, newest);
      taken = { app, read: newest, takenOver: newest.revision, kept: [...new Set([...taken.kept, ...kept])] };
    }
    const plan = await calls.plan(taken.app);
    const { existsBefore, revisionBefore } = plannedEntity(plan);
    if (taken.read === undefined || !existsBefore || revisionBefore === taken.read.revision) return { ...taken, plan };
  }
  throw new ConnectError("it is changed again and again; plan once more", Code.Aborted);
}

/** The hindrance to the write of a plan; undefined if there is none. @param isNew whether an app is about to be created */
export function hindrance(plan: PlanResponse, isNew: boolean): "exists" | "rights" | "nothing to do" | undefined {
  const { existsBefore, mayWrite } = plannedEntity(plan);
  if (isNew && existsBefore) return "exists";
  if (!plan.changesAnything) return "nothing to do";
  return mayWrite ? undefined : "rights";
}

/** The file that a line of nebulactl reads the draft from. */
export function fileOf(name: string): string {
  return `${name}.yaml`;
}

/** The line of nebulactl that writes exactly this plan; of none that has nothing to do. */
export function applyLine({ plan, app }: PlannedDraft): string {
  const exactly = plan.changesAnything ? ["--plan", planName(plan, SHOWN_DIGITS)] : [];
  return ["nebulactl", "apply", "-f", fileOf(app.name), ...exactly].map(shellWord).join(" ");
}

/** The violations that the server named, by the fields of the app. */
export function violationsOf(error: unknown): readonly Violation[] {
  if (!(error instanceof ConnectError)) return [];
  const found = error.findDetails(BadRequestSchema).flatMap(({ fieldViolations }) => fieldViolations);
  return found.map(({ field, description }) => ({ field: field.replace(/^changes\[0\]\.?/, ""), description }));
}

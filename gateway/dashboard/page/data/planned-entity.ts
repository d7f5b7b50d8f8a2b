import type { PlannedEntity, PlanResponse } from "../../../../gen/nebula/v1/plan_pb.ts";

/** The entity of a plan that was asked for one alone. Throws on a plan without any. */
export function plannedEntity({ entities: [entity] }: PlanResponse): PlannedEntity {
  if (entity === undefined) throw new Error("a plan without what it is about");
  return entity;
}

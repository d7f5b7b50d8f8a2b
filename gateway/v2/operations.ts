import { DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { StatusService } from "../../gen/nebula/v1/status_pb.ts";
import { APP_OPERATIONS } from "./app-operations.ts";
import { CRON_JOB_OPERATIONS } from "./cron-job-operations.ts";
import { DEVICE_GROUP_OPERATIONS } from "./device-group-operations.ts";
import { COUNT, constant, mapOf, objectOf } from "./openapi/schemas.ts";
import type { Operation } from "./operation.ts";
import { REPORT_OPERATIONS } from "./reports.ts";
import { USER_GROUP_OPERATIONS } from "./user-group-operations.ts";
import { USER_OPERATIONS } from "./user-operations.ts";

/** The operations that concern no single object. */
export const STATUS_OPERATIONS: readonly Operation[] = [
  {
    method: "GET",
    path: "/status",
    id: "getStatus",
    summary: "Whether the API is there.",
    answers: [{ status: 200, description: "It is.", schema: objectOf({ api_available: constant(true) }) }],
    async handle({ call }) {
      await call(StatusService.method.getStatus, {});
      return { status: 200, body: { api_available: true } };
    },
  },
  {
    method: "POST",
    path: "/prune",
    id: "pruneAll",
    summary: "Has each device of every group that the caller may prune remove its unused images once.",
    answers: [{ status: 202, description: "The new prune_id of every group that is pruned.", schema: objectOf({ prune_ids: mapOf(COUNT) }) }],
    async handle({ call }) {
      const pruned: (readonly [name: string, pruneId: number])[] = [];
      let pageToken = "";
      do {
        const { pruneIds, nextPageToken } = await call(DeviceGroupService.method.pruneAll, { pageToken });
        for (const [name, pruneId] of Object.entries(pruneIds)) pruned.push([name, Number(pruneId)]);
        pageToken = nextPageToken;
      } while (pageToken !== "");
      return { status: 202, body: { prune_ids: Object.fromEntries(pruned) } };
    },
  },
];

/**
 * Every operation of REST v2 that the gateway answers by calling the managers. Each is routed, and described in the
 * OpenAPI document, from its entry alone; no other is served.
 */
export const OPERATIONS: readonly Operation[] = [
  ...STATUS_OPERATIONS,
  ...APP_OPERATIONS,
  ...CRON_JOB_OPERATIONS,
  ...DEVICE_GROUP_OPERATIONS,
  ...USER_OPERATIONS,
  ...USER_GROUP_OPERATIONS,
  ...REPORT_OPERATIONS,
];

import { APP_OPERATIONS } from "./app-operations.ts";
import { CRON_JOB_OPERATIONS } from "./cron-job-operations.ts";
import { DEVICE_GROUP_OPERATIONS } from "./device-group-operations.ts";
import type { Operation } from "./operation.ts";
import { REPORT_OPERATIONS } from "./report-operations.ts";
import { STATUS_OPERATIONS } from "./status-operations.ts";
import { USER_GROUP_OPERATIONS } from "./user-group-operations.ts";
import { USER_OPERATIONS } from "./user-operations.ts";

/**
 * Every operation of REST v2 that the gateway answers by calling the managers. What is missing here is not served; each is routed, and described in the OpenAPI
 * document, from its entry alone.
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

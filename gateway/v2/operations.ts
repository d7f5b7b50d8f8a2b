import type { Operation } from "./operation.ts";
import { STATUS_OPERATIONS } from "./status-operations.ts";

/** Every operation of REST v2 that the gateway answers by calling the managers. What is missing here is not served; each is routed, and described in the OpenAPI document, from its entry alone. */
export const OPERATIONS: readonly Operation[] = [...STATUS_OPERATIONS];

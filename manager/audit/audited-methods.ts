import type { DescMethod } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { AccessService } from "../../gen/nebula/v1/access_pb.ts";
import { ReportService } from "../../gen/nebula/v1/report_pb.ts";

/** What a method's calls leave in the audit log. `logins`: refused logins alone, as every method's do. */
export type Audited = "every_call" | "what_changed" | "logins";

/**
 * Calls that may change something leave an entry, refused ones too. Not the reports of devices, which are no change that anybody decided on, nor streams; of
 * EnrollDevice not the repeats that change nothing: a device sends it again until an answer arrives.
 */
export function auditedOf(method: DescMethod): Audited {
  if (!method.parent.typeName.startsWith("nebula.v1.") || method.methodKind !== "unary") return "logins"; // health and reflection are of others
  if (method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS || method === ReportService.method.submitReports) return "logins";
  return method === AccessService.method.enrollDevice ? "what_changed" : "every_call";
}

import type { DescMethod, Message } from "@bufbuild/protobuf";
import { isReflectMessage, type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { entityKindOf } from "../../common/resources/target-kind.ts";
import { enrolmentIdViolations, sessionIdViolations } from "../../common/validation/device-requests.ts";
import { AccessService } from "../../gen/nebula/v1/access_pb.ts";
import { AppService } from "../../gen/nebula/v1/app_pb.ts";
import { ConfigService } from "../../gen/nebula/v1/config_pb.ts";
import { CronJobService } from "../../gen/nebula/v1/cron_job_pb.ts";
import { DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { DeviceService } from "../../gen/nebula/v1/device_pb.ts";
import { ExplainService } from "../../gen/nebula/v1/explain_pb.ts";
import { HistoryService } from "../../gen/nebula/v1/history_pb.ts";
import { ReportService } from "../../gen/nebula/v1/report_pb.ts";
import { UserGroupService } from "../../gen/nebula/v1/user_group_pb.ts";
import { UserService } from "../../gen/nebula/v1/user_pb.ts";

/** The subject of a call; empty: it has none. */
export type AuditSubject = Readonly<{ kind: string; name: string }>;

/** A longer name is invalid, and only its first characters are kept, to show what was tried. Characters. */
const LONGEST_NAME = 128;

const KIND_OF_SERVICE: ReadonlyMap<unknown, string> = new Map<unknown, string>([
  [AppService, "app"],
  [CronJobService, "cron_job"],
  [DeviceGroupService, "device_group"],
  [UserService, "user"],
  [UserGroupService, "user_group"],
  [DeviceService, "device"],
  [ExplainService, "device"],
  [AccessService, "device"],
  [ReportService, "device"],
  [ConfigService, "device"],
]);

const { createEnrolmentToken, revokeEnrolmentToken, createSession, deleteSession } = AccessService.method;
/** Of AccessService's methods those that are not about a device. */
const KIND_OF_METHOD: ReadonlyMap<DescMethod, string> = new Map<DescMethod, string>([
  [createEnrolmentToken, "enrolment_token"],
  [revokeEnrolmentToken, "enrolment_token"],
  [createSession, "session"],
  [deleteSession, "session"],
]);
/** The checks of the ids in whose place a caller may name a token: it is still valid, and must not reach a log. */
const ID_CHECKS: ReadonlyMap<string, typeof sessionIdViolations> = new Map([
  ["enrolment_token", enrolmentIdViolations],
  ["session", sessionIdViolations],
]);

/** Returns the subject of a call: the entity that its request names. The request is not validated yet. */
export function subjectOf(method: DescMethod, request: Message | undefined): AuditSubject {
  const kind = KIND_OF_METHOD.get(method) ?? KIND_OF_SERVICE.get(method.parent) ?? kindIn(method, request);
  const name = kind === "" || request === undefined ? "" : nameIn(reflect(method.input, request), kind);
  if ((ID_CHECKS.get(kind)?.(name, "id").length ?? 0) > 0) return { kind, name: "" };
  return { kind, name: cut(name, LONGEST_NAME) };
}

/** The kind that a request of HistoryService names. */
function kindIn(method: DescMethod, request: Message | undefined): string {
  if (method.parent !== HistoryService || request === undefined) return "";
  const field = method.input.field.kind;
  return (field?.fieldKind === "enum" ? entityKindOf(reflect(method.input, request).get(field)) : undefined) ?? "";
}

/** The text without what a terminal or a log might take for its own, no longer than `longest` characters. */
export function cut(text: string, longest: number): string {
  const plain = text.slice(0, longest).toWellFormed().replace(/\p{C}/gu, "\uFFFD");
  return text.length > longest ? `${plain}...` : plain;
}

/**
 * `name`, `device_id` or `id` of the request, or of the entity in it: app.name, user_group.name, reports[0].device_id, ... The request may be one of several:
 * watch.device_id
 */
function nameIn(message: ReflectMessage, kind: string): string {
  for (const field of message.fields) {
    if (field.fieldKind === "message" && field.name === kind) {
      const name = field.message.fields.find((inner) => inner.name === "name");
      if (name === undefined || !message.isSet(field)) return "";
      return text(message.get(field).get(name));
    }
    if (field.fieldKind === "list" && field.listKind === "message") {
      const deviceId = field.message.fields.find((inner) => inner.name === "device_id");
      const first = message.get(field).get(0);
      if (deviceId !== undefined && isReflectMessage(first)) return text(first.get(deviceId));
    }
    if (field.fieldKind === "message" && field.oneof !== undefined && message.isSet(field)) return nameIn(message.get(field), kind);
    if (field.fieldKind === "scalar" && (field.name === "name" || field.name === "device_id" || field.name === "id")) return text(message.get(field));
  }
  return "";
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

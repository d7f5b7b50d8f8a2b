import { clone, type DescField, type DescMessage, equals, type JsonObject, type JsonValue, type MessageShape } from "@bufbuild/protobuf";
import { isReflectMessage, type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { AppSchema } from "../../gen/nebula/v1/app_pb.ts";
import { CronJobSchema } from "../../gen/nebula/v1/cron_job_pb.ts";
import { DeviceGroupSchema } from "../../gen/nebula/v1/device_group_pb.ts";
import { UserGroupSchema } from "../../gen/nebula/v1/user_group_pb.ts";
import { assertNever } from "../errors/assert-never.ts";
import { enumWords } from "../text/enum-words.ts";
import { containersPerToV2 } from "../v2/containers-per.ts";
import { startingPortsToV2 } from "../v2/starting-ports.ts";
import { normaliseApp, normaliseCronJob, normaliseDeviceGroup, normaliseUserGroup, OUTPUT_ONLY } from "../validation/normal-form.ts";
import type { Resource, ResourceKind } from "./resource.ts";

type Printed = ReadonlyMap<string, unknown>;

/** Returns the fields of a resource as its file has them, in order, without those that only the server sets, or that equal their default. */
export function resourceFields(resource: Resource): Printed {
  switch (resource.kind) {
    case "app": {
      const { app } = resource;
      const inV2Shape = { starting_ports: startingPortsToV2(app.startingPorts), containers_per: containersPerToV2(app.containersPer) };
      return printed("app", AppSchema, app, normaliseApp, inV2Shape);
    }
    case "cron_job":
      return printed("cron_job", CronJobSchema, resource.cronJob, normaliseCronJob, {});
    case "device_group":
      return printed("device_group", DeviceGroupSchema, resource.deviceGroup, normaliseDeviceGroup, {});
    case "user_group":
      return printed("user_group", UserGroupSchema, resource.userGroup, normaliseUserGroup, {});
    default:
      return assertNever(resource);
  }
}

function printed<Desc extends DescMessage>(
  kind: ResourceKind,
  schema: Desc,
  message: MessageShape<Desc>,
  normalise: (message: MessageShape<Desc>) => MessageShape<Desc>,
  given: Readonly<Record<string, unknown>>,
): Printed {
  const normal = normalise(message);
  const isDefault = (field: DescField) => {
    const without = clone(schema, message);
    reflect(schema, without).clear(field);
    return equals(schema, normalise(without), normal);
  };
  const shown = schema.fields.filter((field) => !OUTPUT_ONLY[kind].includes(field.name) && (field.name === "name" || !isDefault(field)));
  const source = reflect(schema, normal);
  return new Map([["kind", kind], ...shown.map((field) => [field.name, given[field.name] ?? printedField(source, field)] as const)]);
}

function printedField(message: ReflectMessage, field: DescField): unknown {
  switch (field.fieldKind) {
    case "scalar":
      return message.get(field);
    case "enum": {
      const number = message.get(field);
      return [...enumWords(field.enum)].find(([, value]) => value === number)?.[0] ?? number;
    }
    case "message":
      return printedFields(message.get(field));
    case "list":
      return [...message.get(field)].map((item) => (isReflectMessage(item) ? printedFields(item) : item));
    case "map":
      return new Map([...message.get(field)].sort(([a], [b]) => (String(a) < String(b) ? -1 : 1)));
  }
}

function printedFields(message: ReflectMessage): Printed {
  return new Map(message.fields.filter((field) => message.isSet(field)).map((field) => [field.name, printedField(message, field)]));
}

/** The same as JSON. A 64-bit number that JSON can't hold exactly is text. */
export function resourceJson(resource: Resource): JsonObject {
  return Object.fromEntries([...resourceFields(resource)].map(([name, value]) => [name, asJson(value)]));
}

function asJson(value: unknown): JsonValue {
  if (value instanceof Map) return Object.fromEntries([...value].map(([name, item]) => [String(name), asJson(item)]));
  if (Array.isArray(value)) return value.map(asJson);
  if (typeof value === "bigint") return jsonNumber(value);
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean" || value === null) return value;
  if (typeof value === "object") return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, asJson(item)]));
  throw new TypeError(`a resource holds no ${typeof value}`);
}

/** A 64-bit number as JSON has it: a number where that is exact, else text. */
export function jsonNumber(value: bigint): number | string {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : String(value);
}

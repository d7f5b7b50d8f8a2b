import { clone, type DescField, type DescMessage, equals, type MessageShape } from "@bufbuild/protobuf";
import { isReflectMessage, type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { isCollection, Document as YamlDocument } from "yaml";
import { AppSchema } from "../../gen/nebula/v1/app_pb.ts";
import { CronJobSchema } from "../../gen/nebula/v1/cron_job_pb.ts";
import { DeviceGroupSchema } from "../../gen/nebula/v1/device_group_pb.ts";
import { UserGroupSchema } from "../../gen/nebula/v1/user_group_pb.ts";
import { assertNever } from "../errors/assert-never.ts";
import { containersPerToV2 } from "../v2/containers-per.ts";
import { startingPortsToV2 } from "../v2/starting-ports.ts";
import { normaliseApp, normaliseCronJob, normaliseDeviceGroup, normaliseUserGroup } from "../validation/normal-form.ts";
import { OUTPUT_ONLY } from "../validation/output-only.ts";
import { enumWords } from "./enum-words.ts";
import type { Resource, ResourceKind } from "./resource.ts";

type Printed = ReadonlyMap<string, unknown>;

/** One resource as a YAML document that parseResources takes. What only the server sets, and what equals its default, is left out. */
export function printResource(resource: Resource): string {
  const document = new YamlDocument(fieldsOf(resource));
  for (const field of ["starting_ports", "containers_per"]) {
    const node = document.get(field, true);
    if (isCollection(node)) node.flow = true;
  }
  return document.toString({ lineWidth: 0 });
}

function fieldsOf(resource: Resource): Printed {
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

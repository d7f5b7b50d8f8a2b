import { create, type DescField, type DescMessage, type JsonObject, type JsonValue, type MessageShape } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { type App, AppSchema, ContainersPerSchema, StartingPortSchema } from "../../gen/nebula/v1/app_pb.ts";
import { type CronJob, CronJobSchema } from "../../gen/nebula/v1/cron_job_pb.ts";
import { type DeviceGroup, DeviceGroupSchema } from "../../gen/nebula/v1/device_group_pb.ts";
import { type UserGroup, UserGroupSchema } from "../../gen/nebula/v1/user_group_pb.ts";
import type { Violation } from "../errors/nebula-error.ts";
import { OUTPUT_ONLY } from "../validation/normal-form.ts";
import { containersPerFromV2 } from "./containers-per.ts";
import { envVarsFromV2 } from "./env-vars.ts";
import { fieldFromJson } from "./fields-from-json.ts";
import { listAsSent, permissionsAsSent } from "./original-cli-values.ts";
import { startingPortsFromV2 } from "./starting-ports.ts";

/** A fault in the shape of a v2 object; v2 answers some of it in words of its own. */
export type V2Fault = Readonly<
  /** starting_ports is not a list of ports. */
  | { kind: "ports_shape" }
  /** starting_ports holds a number that is not a port. */
  | { kind: "port" }
  /** apps or cron_jobs of a device_group. */
  | { kind: "no_list"; field: "apps" | "cron_jobs" }
  | { kind: "invalid"; violation: Violation }
>;

/** A v2 object that was read: its message, the proto names of the fields that were given, and what is wrong with their shape. */
export type FromV2<M> = Readonly<{ message: M; given: readonly string[]; faults: readonly V2Fault[] }>;

/** Reads an app as v2 writes it, fields that v2 lacks by their proto names. Unknown fields are ignored, a null is as if it were not given. */
export function appFromV2(name: string, body: JsonObject): FromV2<App> {
  const read = messageFromV2(AppSchema, OUTPUT_ONLY.app, body, {
    ...CONTAINER_LISTS,
    starting_ports: readPorts,
    containers_per: readContainersPer,
    env_vars: readEnvVars,
  });
  read.message.name = name;
  return read;
}

/** Reads a cron_job as v2 writes it; see appFromV2. */
export function cronJobFromV2(name: string, body: JsonObject): FromV2<CronJob> {
  const read = messageFromV2(CronJobSchema, OUTPUT_ONLY.cron_job, body, { ...CONTAINER_LISTS, env_vars: readEnvVars });
  read.message.name = name;
  return read;
}

/** Reads a device_group as v2 writes it; see appFromV2. */
export function deviceGroupFromV2(name: string, body: JsonObject): FromV2<DeviceGroup> {
  const read = messageFromV2(DeviceGroupSchema, OUTPUT_ONLY.device_group, body, { apps: readMembers("apps"), cron_jobs: readMembers("cron_jobs") });
  read.message.name = name;
  return read;
}

/** Reads a user_group as v2 writes it; see appFromV2. */
export function userGroupFromV2(name: string, body: JsonObject): FromV2<UserGroup> {
  const read = messageFromV2(UserGroupSchema, OUTPUT_ONLY.user_group, body, {
    group_members: readAs(listAsSent),
    apps: readAs(permissionsAsSent),
    device_groups: readAs(permissionsAsSent),
    cron_jobs: readAs(permissionsAsSent),
  });
  read.message.name = name;
  return read;
}

type ReadField = (message: ReflectMessage, field: DescField, value: JsonValue) => V2Fault[];

/** The meaning of an explicit empty list of networks; without a list it is the default networks. */
const NO_NETWORKS: readonly string[] = ["nebula"];

/** Lists of a container that the original's CLI may send as text. */
const CONTAINER_LISTS: Readonly<Record<string, ReadField>> = {
  devices: readAs(listAsSent),
  volumes: readAs(listAsSent),
  networks: readAs((value) => {
    const networks = listAsSent(value);
    return Array.isArray(networks) && networks.length === 0 ? [...NO_NETWORKS] : networks;
  }),
};

function messageFromV2<Desc extends DescMessage>(
  schema: Desc,
  outputOnly: readonly string[],
  body: JsonObject,
  special: Readonly<Record<string, ReadField>>,
): FromV2<MessageShape<Desc>> {
  const message = create(schema);
  const into = reflect(schema, message);
  const given = schema.fields.filter(({ name }) => {
    return name !== "name" && !outputOnly.includes(name) && Object.hasOwn(body, name) && body[name] !== null;
  });
  const faults = given.flatMap((field): V2Fault[] => {
    const value = body[field.name] ?? null;
    return special[field.name]?.(into, field, value) ?? fieldFromJson(into, field, value, field.name).map(invalid);
  });
  return { message, given: given.map(({ name }) => name), faults };
}

function readPorts(message: ReflectMessage, field: DescField, value: JsonValue): V2Fault[] {
  const read = startingPortsFromV2(value);
  switch (read.kind) {
    case "invalid_shape":
      return [{ kind: "ports_shape" }];
    case "invalid_port":
      return [{ kind: "port" }];
    case "ports":
      if (field.fieldKind === "list") for (const port of read.ports) message.get(field).add(reflect(StartingPortSchema, port));
      return [];
  }
}

function readContainersPer(message: ReflectMessage, field: DescField, value: JsonValue): V2Fault[] {
  const read = containersPerFromV2(value);
  if (read.kind === "invalid") return read.violations.map(invalid);
  message.set(field, reflect(ContainersPerSchema, read.containersPer));
  return [];
}

function readEnvVars(message: ReflectMessage, field: DescField, value: JsonValue): V2Fault[] {
  const read = envVarsFromV2(value);
  if (read.kind === "invalid") return read.violations.map(invalid);
  return fieldFromJson(message, field, read.envVars, field.name).map(invalid);
}

function readMembers(name: "apps" | "cron_jobs"): ReadField {
  return (message, field, value) =>
    Array.isArray(value) ? fieldFromJson(message, field, value, name).map(invalid) : [{ kind: "no_list", field: name }];
}

/** Reads a field like any of its type once its value was brought into the shape of the API. */
function readAs(shape: (value: JsonValue) => JsonValue): ReadField {
  return (message, field, value) => fieldFromJson(message, field, shape(value), field.name).map(invalid);
}

function invalid(violation: Violation): V2Fault {
  return { kind: "invalid", violation };
}

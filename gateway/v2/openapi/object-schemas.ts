import type { DescMessage } from "@bufbuild/protobuf";
import { V2_FIELDS } from "../../../common/v2/entity-to-v2.ts";
import { AppSchema } from "../../../gen/nebula/v1/app_pb.ts";
import { CronJobSchema } from "../../../gen/nebula/v1/cron_job_pb.ts";
import { DeviceGroupSchema } from "../../../gen/nebula/v1/device_group_pb.ts";
import {
  COUNT,
  described,
  fieldSchemas,
  type JsonSchema,
  listOf,
  mapOf,
  NUMBER,
  objectOf,
  partsOf,
  TEXT,
  TEXT_MAP,
  TEXTS,
  TRUTH,
} from "./schemas.ts";

const OBJECT_ID = described(objectOf({ $oid: { type: "string", pattern: "^[0-9a-f]{24}$" } }), "Derived from the object's kind and name.");
const PORT: JsonSchema = { type: "integer", minimum: 1, maximum: 65_535 };
const CONTAINER_PORT: JsonSchema = { type: "string", pattern: "^[0-9]+(/(tcp|udp))?$" };
/** As on Docker's command line: [[address:]host port:]container port. */
const PORT_TEXT: JsonSchema = { type: "string", pattern: "^(((\\[[0-9a-fA-F:.]+\\]|[0-9.]+):)?[0-9]+:)?[0-9]+(/(tcp|udp))?$" };
const PORTS = described(
  listOf({ anyOf: [PORT, PORT_TEXT, { type: "object", minProperties: 1, additionalProperties: { anyOf: [CONTAINER_PORT, PORT] } }] }),
  'Published ports: 80, {"8080": "80"}, "53/udp", {"127.0.0.1:8080": "80"}. The second container of a device takes the next host port, and so on.',
);
const CONTAINERS_PER = described(
  { anyOf: [objectOf({ server: COUNT }), objectOf({ cpu: NUMBER }), objectOf({ memory: COUNT })] },
  "How many containers per device: a number, a number per core, or one per number of megabytes of memory.",
);
const RUNNING = described(TRUTH, "Whether the containers are to run.");
const NETWORKS = described(TEXTS, 'Docker networks. None: ["nebula", "bridge"].');
const ID = described(COUNT, "Starts at 1 and rises with every change; it never falls, also not after a delete and a new create.");

const CONTAINER = { docker_image: TEXT, running: RUNNING, networks: NETWORKS, volumes: TEXTS, devices: TEXTS, privileged: TRUTH };
const ENV_VARS_TAKEN = described(
  { anyOf: [mapOf({ type: ["string", "number", "boolean", "null"] }), { type: "array", items: TEXT, maxItems: 0 }] },
  "Environment variables. true is True, null is empty.",
);
const ENV_VARS_SHOWN = described(
  { anyOf: [TEXT_MAP, { type: "array", items: TEXT, maxItems: 0 }] },
  "Environment variables; an empty list in the answer to a POST update that gave none.",
);
const APP = { starting_ports: PORTS, containers_per: CONTAINERS_PER, ...CONTAINER, rolling_restart: TRUTH };
const CRON_JOB = { schedule: described(TEXT, "Five cron fields, or @hourly, @daily, @weekly, @monthly, @yearly."), ...CONTAINER };
const MEMBERS = {
  apps: described(TEXTS, "Names of apps, which have to exist."),
  cron_jobs: described(TEXTS, "Names of cron_jobs, which have to exist."),
};
const HASH = described(TEXT, "As it is stored: a hash.");
const GENERATED = described(TEXT, "Only in the answer to a create that gave none: it can't be read again.");
const USER_GROUP = {
  group_members: described(TEXTS, "Names of users."),
  pruning_allowed: TRUTH,
  apps: permissions("app"),
  device_groups: permissions("device_group"),
  cron_jobs: permissions("cron_job"),
  admin: TRUTH,
};

/** The objects of REST v2, by the names that the document gives them. */
export const OBJECT_SCHEMAS: Readonly<Record<string, JsonSchema>> = {
  App: shown({ app_name: TEXT, app_id: ID, ...APP, env_vars: ENV_VARS_SHOWN }, AppSchema, V2_FIELDS.app),
  AppInput: taken({ ...APP, env_vars: ENV_VARS_TAKEN }, AppSchema, V2_FIELDS.app),
  CronJob: shown({ cron_job_name: TEXT, cron_job_id: ID, ...CRON_JOB, env_vars: TEXT_MAP }, CronJobSchema, V2_FIELDS.cron_job),
  CronJobInput: taken({ ...CRON_JOB, env_vars: ENV_VARS_TAKEN }, CronJobSchema, V2_FIELDS.cron_job),
  DeviceGroup: shown({ device_group: TEXT, device_group_id: ID, prune_id: COUNT, ...MEMBERS }, DeviceGroupSchema, V2_FIELDS.device_group),
  DeviceGroupInput: taken(MEMBERS, DeviceGroupSchema, V2_FIELDS.device_group),
  User: objectOf({ _id: OBJECT_ID, user_name: TEXT, password: HASH, token: HASH }, { generated_password: GENERATED, generated_token: GENERATED }),
  UserInput: partsOf({ password: described(TEXT, "8 to 256 bytes."), token: described(TEXT, "At least 8 characters.") }),
  UserGroup: objectOf({ _id: OBJECT_ID, user_group: TEXT, ...USER_GROUP }),
  UserGroupInput: partsOf(USER_GROUP),
  AccessDenied: objectOf({ access_allowed: { const: false } }),
  Failure: described(objectOf({ error: TEXT }), "What went wrong, and what to use."),
  InvalidParameters: described(objectOf({ invalid_parameters: TEXT_MAP }), "What is wrong by field, and what would be right."),
};

function permissions(of: string): JsonSchema {
  return described(mapOf({ enum: ["ro", "rw"] }), `ro or rw by the ${of}'s name; a name may end in *, which stands for any end.`);
}

function shown(properties: Readonly<Record<string, JsonSchema>>, schema: DescMessage, known: ReadonlySet<string>): JsonSchema {
  return objectOf({ _id: OBJECT_ID, ...properties }, fieldSchemas(schema, known));
}

function taken(properties: Readonly<Record<string, JsonSchema>>, schema: DescMessage, known: ReadonlySet<string>): JsonSchema {
  return partsOf({ ...properties, ...fieldSchemas(schema, known) });
}

import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { parse } from "yaml";
import { assertNever } from "../../../common/errors/assert-never.ts";
import { printResource } from "../../../common/resources/print-resource.ts";
import type { Resource } from "../../../common/resources/resource.ts";
import { DEFAULTS } from "../../../common/validation/normal-form.ts";

/** A resource as its file has it, what equals its default left out. */
export function resourceJson(resource: Resource): JsonObject {
  const value: JsonObject = parse(printResource(resource)); // what is printed is a map of JSON's own types
  return value;
}

/** A resource with its revision and counters, and with the fields that v2 always shows. 64-bit numbers are strings, as in the API's JSON. */
export function entityJson(resource: Resource): JsonObject {
  const { kind: _, name = "", ...fields } = resourceJson(resource);
  return { name, ...countersOf(resource), ...v2Defaults(resource), ...fields };
}

function countersOf(resource: Resource): JsonObject {
  switch (resource.kind) {
    case "app":
      return { revision: String(resource.app.revision), restart_count: String(resource.app.restartCount) };
    case "cron_job":
      return { revision: String(resource.cronJob.revision) };
    case "device_group":
      return { revision: String(resource.deviceGroup.revision), prune_id: String(resource.deviceGroup.pruneId) };
    case "user_group":
      return { revision: String(resource.userGroup.revision) };
    default:
      return assertNever(resource);
  }
}

function v2Defaults({ kind }: Resource): Record<string, JsonValue> {
  const container = {
    docker_image: "",
    running: DEFAULTS.running,
    env_vars: {},
    networks: ["nebula", "bridge"],
    volumes: [],
    devices: [],
    privileged: false,
  };
  switch (kind) {
    case "app":
      return { ...container, starting_ports: [], containers_per: { server: DEFAULTS.containers }, rolling_restart: false };
    case "cron_job":
      return { schedule: "", ...container };
    case "device_group":
      return { apps: [], cron_jobs: [] };
    case "user_group":
      return { group_members: [], apps: {}, cron_jobs: {}, device_groups: {}, pruning_allowed: false, admin: false };
    default:
      return assertNever(kind);
  }
}

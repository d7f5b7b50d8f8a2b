import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { assertNever } from "../../../common/errors/assert-never.ts";
import type { Resource } from "../../../common/resources/resource.ts";
import { jsonNumber, resourceJson } from "../../../common/resources/resource-fields.ts";
import { DEFAULTS } from "../../../common/validation/normal-form.ts";

/** A resource with its revision and counters, and with the fields that v2 always shows. 64-bit numbers are numbers where JSON holds them exactly. */
export function entityJson(resource: Resource): JsonObject {
  const { kind: _, name = "", ...fields } = resourceJson(resource);
  return { name, ...countersOf(resource), ...v2Defaults(resource), ...fields };
}

function countersOf(resource: Resource): JsonObject {
  switch (resource.kind) {
    case "app":
      return { revision: jsonNumber(resource.app.revision), restart_count: jsonNumber(resource.app.restartCount) };
    case "cron_job":
      return { revision: jsonNumber(resource.cronJob.revision) };
    case "device_group":
      return { revision: jsonNumber(resource.deviceGroup.revision), prune_id: jsonNumber(resource.deviceGroup.pruneId) };
    case "user_group":
      return { revision: jsonNumber(resource.userGroup.revision) };
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

import { hash } from "node:crypto";
import { appToV2, cronJobToV2 } from "../../../common/v2/entity-to-v2.ts";
import { portsOfOriginal } from "../../../common/v2/starting-ports.ts";
import type { App } from "../../../gen/nebula/v1/app_pb.ts";
import type { Config } from "../../../gen/nebula/v1/config_pb.ts";
import type { CronJob } from "../../../gen/nebula/v1/cron_job_pb.ts";

/** The answer of GET /device_groups/X/info: JSON in ASCII alone, so that a character is a byte, and its headers. */
export type InfoAnswer = Readonly<{
  body: string;
  /** Quoted, as it stands in the header. */
  etag: string;
  /** As writeHead takes them: name, value, name, value. */
  headers: readonly string[];
  /** Those of a 304. */
  unchangedHeaders: readonly string[];
}>;

/**
 * The config that a device of the original needs, in v2's shape. Deleted apps and cron_jobs are left out, as are ports
 * that its worker does not know; secret variables are variables here.
 */
export function infoAnswer(config: Config): InfoAnswer {
  const apps = config.apps.flatMap(({ app }) => (app === undefined ? [] : [withSecrets(app)]));
  const cronJobs = config.cronJobs.flatMap(({ cronJob }) => (cronJob === undefined ? [] : [withSecrets(cronJob)]));
  const body = `${asciiJson({
    apps: apps.map((app) => appToV2({ ...app, startingPorts: portsOfOriginal(app.startingPorts) })),
    apps_list: apps.map(({ name }) => name),
    prune_id: Number(config.pruneId),
    cron_jobs: cronJobs.map(cronJobToV2),
    cron_jobs_list: cronJobs.map(({ name }) => name),
    device_group_id: Number(config.groupRevision),
  })}\n`;
  const etag = `"${hash("sha256", body, "base64url").slice(0, 22)}"`;
  // Contains secrets and varies by caller: shared caches must not store it.
  const unchangedHeaders = ["etag", etag, "cache-control", "private, no-cache"];
  return {
    body,
    etag,
    headers: ["content-type", "application/json", "content-length", String(body.length), "x-content-type-options", "nosniff", ...unchangedHeaders],
    unchangedHeaders,
  };
}

function withSecrets<E extends App | CronJob>(entity: E): E {
  return { ...entity, envVars: { ...entity.envVars, ...entity.secretEnvVars }, secretEnvVars: {} };
}

/** JSON without a character above ASCII, as the original writes it. */
function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(/[\u007f-\uffff]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

import type { IncomingMessage, ServerResponse } from "node:http";
import { create, toBinary } from "@bufbuild/protobuf";
import { Counter, type Registry } from "prom-client";
import type { Clock } from "../../../common/clock/clock.ts";
import { assertNever } from "../../../common/errors/assert-never.ts";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import type { ChangeFeed } from "../../../common/feed/change-feed.ts";
import { sendJson } from "../../../common/http/send.ts";
import type { Log } from "../../../common/log/log.ts";
import { pathOf } from "../../../common/rpc/service-definition.ts";
import { isName } from "../../../common/validation/names.ts";
import { ConfigService, GetConfigRequestSchema } from "../../../gen/nebula/v1/config_pb.ts";
import { type AskVerdictDeps, askVerdict } from "../../api/access-verdict.ts";
import type { Exchange } from "../../http/exchange.ts";
import type { HttpMetrics } from "../../http/http-metrics.ts";
import type { ManagerPool } from "../../managers/manager-pool.ts";
import { COUNT, constant, listOf, named, objectOf, TEXTS } from "../openapi/schemas.ts";
import type { Operation } from "../operation.ts";
import type { InfoAnswer } from "./info-answer.ts";
import { type AskVerdict, KnownVerdicts, type PollCredential, type VerdictOnPoll } from "./known-verdicts.ts";
import type { PollAnswer } from "./polled-group.ts";
import { PolledGroups } from "./polled-groups.ts";

/*
 * GET /api/v2/device_groups/X/info, which workers of the original poll, answered from the memory of the gateway.
 * A poll whose verdict and config are both known is answered at once. Any other asks a manager for the verdict
 * (known-verdicts.ts), then waits for the config of the group (polled-groups.ts), which info-answer.ts turns into JSON.
 */

/** Below /api/v2, as an operation writes it. */
const INFO_PATH = "/device_groups/{device_group}/info";
/** The route under which polls are counted among all requests. */
export const INFO_ROUTE = `/api/v2${INFO_PATH}`;

const PREFIX = "/api/v2/device_groups/";
const SUFFIX = "/info";
/** The characters of a credential; any other is refused before a manager is asked. */
const PRINTABLE = /^[ -~]*$/;

export type Info = Readonly<{
  /**
   * Answers a poll if the gateway holds all that it needs, at the least cost: without a request id and a line in the
   * log. Otherwise returns false, and nothing has happened. Does not check Host, so it must not be used while
   * authentication is off.
   */
  answerAtOnce(request: IncomingMessage, response: ServerResponse): boolean;
  /** The same path as an operation of REST v2, for every poll that is not answered at once. */
  operation: Operation;
}>;

export type OpenInfoOptions = Readonly<{
  pool: Pick<ManagerPool, "unary" | "serverStream">;
  partToken: string;
  changeFeed: Pick<ChangeFeed, "subscribe">;
  clock: Clock;
  log: Log;
  registry: Registry;
  http: HttpMetrics;
}>;

/** Serves /info until the signal is aborted, which ends its watches. */
export function openInfo({ pool, partToken, changeFeed, clock, log, registry, http }: OpenInfoOptions, stopping: AbortSignal): Info {
  const verdicts = new KnownVerdicts({ ask: askManagers({ pool, partToken, signal: stopping }), clock });
  const subscription = changeFeed.subscribe((event) => {
    if (event.kind === "access") verdicts.accessChanged(event.subject);
    else if (event.kind === "gap") verdicts.accessChanged(undefined);
  });
  stopping.addEventListener("abort", () => subscription[Symbol.dispose](), { once: true });
  const groups = new PolledGroups({ pool, partToken, clock, log }, stopping);
  return serveInfo({ verdicts, groups, metrics: createInfoMetrics(registry), http });
}

/** A poll is admitted if the caller may read the config of its device_group: by `ro` on the group, or as a device of it. */
const METHOD = pathOf(ConfigService.method.getConfig);

function askManagers({ signal, ...deps }: AskVerdictDeps & Readonly<{ signal: AbortSignal }>): AskVerdict {
  return ({ authorization, deviceGroup, address, requestId }) => {
    const request = toBinary(GetConfigRequestSchema, create(GetConfigRequestSchema, { deviceGroup }));
    return askVerdict(deps, { authorization, method: METHOD, request, caller: { address, requestId } }, signal);
  };
}

export type InfoDeps = Readonly<{ verdicts: KnownVerdicts; groups: PolledGroups; metrics: InfoMetrics; http: HttpMetrics }>;

/** The outcome of a poll. */
type InfoOutcome = PollAnswer | Omit<Exclude<VerdictOnPoll, { kind: "allowed" }>, "subject">;

export function serveInfo({ verdicts, groups, metrics, http }: InfoDeps): Info {
  function answerAtOnce(request: IncomingMessage, response: ServerResponse): boolean {
    const { url = "", method, headers } = request;
    if (method !== "GET" || !url.startsWith(PREFIX) || !url.endsWith(SUFFIX)) return false;
    const deviceGroup = url.slice(PREFIX.length, -SUFFIX.length); // no known name needs percent-encoding
    if (verdicts.known(headers.authorization ?? "", deviceGroup)?.kind !== "allowed") return false; // first: a refused poll must not keep the group
    const answer = groups.known(deviceGroup)?.answer;
    if (answer?.kind !== "info") return false;
    send(request, response, deviceGroup, answer.info);
    http.endedAtOnce(INFO_ROUTE, response.statusCode);
    return true;
  }

  async function serve({ request, response, caller }: Exchange, deviceGroup: string): Promise<void> {
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    const outcome = await poll({ authorization: request.headers.authorization ?? "", deviceGroup, ...caller }, gone.signal);
    switch (outcome.kind) {
      case "info":
        return send(request, response, deviceGroup, outcome.info);
      case "no_such_group":
        return sendJson(response, 403, { device_group_exists: false });
      case "denied":
        throw new NebulaError("permission_denied", outcome.reason);
      case "unauthenticated":
        throw new NebulaError("unauthenticated", outcome.reason);
      default:
        assertNever(outcome);
    }
  }

  /** Asks a manager where needed. Rejects with `unavailable` if none answers. */
  async function poll(credential: PollCredential, signal: AbortSignal): Promise<InfoOutcome> {
    const { authorization, deviceGroup } = credential;
    if (!PRINTABLE.test(authorization)) return { kind: "unauthenticated", reason: "the authorization header holds more than printable ASCII" };
    const verdict = await verdicts.verdict(credential);
    if (verdict.kind !== "allowed") return verdict;
    if (!isName(deviceGroup) || groups.isAbsent(deviceGroup)) return { kind: "no_such_group" };
    return await groups.polled(deviceGroup).answered(signal);
  }

  function send(request: IncomingMessage, response: ServerResponse, deviceGroup: string, info: InfoAnswer): void {
    metrics.polled(deviceGroup);
    if (isKnown(request.headers["if-none-match"], info.etag)) response.writeHead(304, [...info.unchangedHeaders]).end();
    else if (request.method === "HEAD") response.writeHead(200, [...info.headers]).end();
    else response.writeHead(200, [...info.headers]).end(info.body, "latin1");
  }

  return { answerAtOnce, operation: infoOperation((exchange, parameter) => serve(exchange, parameter("device_group"))) };
}

/** Whether an If-None-Match header names the etag (RFC 9110, 13.1.2: compared weakly). */
function isKnown(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  if (header === etag || header === "*") return true;
  return header.split(",").some((known) => known.trim().replace(/^W\//, "") === etag);
}

function infoOperation(serve: (exchange: Exchange, parameter: (name: string) => string) => Promise<void>): Operation {
  return {
    method: "GET",
    path: INFO_PATH,
    id: "getDeviceGroupInfo",
    summary: "The whole config of a device_group, as a device needs it. Answers an ETag, and 304 to If-None-Match.",
    answers: [
      {
        status: 200,
        description: "The config. Values of secret_env_vars are in env_vars; apps and cron_jobs that were deleted are left out.",
        schema: objectOf({
          apps: listOf(named("App")),
          apps_list: TEXTS,
          prune_id: COUNT,
          cron_jobs: listOf(named("CronJob")),
          cron_jobs_list: TEXTS,
          device_group_id: COUNT,
        }),
      },
      { status: 304, description: "It is as the ETag says.", schema: undefined },
      { status: 403, description: "There is no such device_group.", schema: objectOf({ device_group_exists: constant(false) }) },
    ],
    serve,
  };
}

/** Counts the polls of /info. A labelled counter costs more than a poll itself, so plain numbers are kept until the metrics are read. */
export type InfoMetrics = Readonly<{
  /** A poll of a device_group that exists was answered. */
  polled(deviceGroup: string): void;
}>;

/** The most device_groups that are counted by name; polls of further ones are counted together. */
const MOST_NAMES = 10_000;
/** Not a valid name of a device_group. */
const OTHERS = "_others";

export function createInfoMetrics(registry: Registry): InfoMetrics {
  const names = new Set<string>();
  const polls = new Map<string, number>();
  new Counter({
    name: "nebula_v2_info_polls_total",
    help: "Answered polls of GET /api/v2/device_groups/X/info by device_group; _others: of those beyond the first 10,000.",
    labelNames: ["device_group"],
    registers: [registry],
    collect() {
      for (const [deviceGroup, count] of polls) this.inc({ device_group: deviceGroup }, count);
      polls.clear();
    },
  });
  return {
    polled(deviceGroup) {
      const count = polls.get(deviceGroup);
      if (count !== undefined) return void polls.set(deviceGroup, count + 1);
      const named = names.has(deviceGroup) || names.size < MOST_NAMES;
      if (named) names.add(deviceGroup);
      const label = named ? deviceGroup : OTHERS;
      polls.set(label, (polls.get(label) ?? 0) + 1);
    },
  };
}

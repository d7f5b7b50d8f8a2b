import type { IncomingMessage, ServerResponse } from "node:http";
import { isName } from "../../../common/validation/name.ts";
import type { HttpMetrics } from "../../http-metrics.ts";
import type { InfoAnswer } from "./info-answer.ts";
import type { InfoMetrics } from "./info-metrics.ts";
import type { KnownVerdicts, VerdictOnPoll } from "./known-verdicts.ts";
import type { PollAnswer } from "./polled-group.ts";
import type { PolledGroups } from "./polled-groups.ts";

/** What a poll comes to. */
export type InfoOutcome = PollAnswer | Exclude<VerdictOnPoll, { kind: "allowed" }>;

/** Who polls what. */
export type Poll = Readonly<{ authorization: string; deviceGroup: string; address: string; requestId: string }>;

/** GET /api/v2/device_groups/X/info, from the gateway's memory. */
export type Info = Readonly<{
  /**
   * Answers a poll where all that it needs is in memory, at once and at the least cost: no id, no line in the log. Otherwise false, and nothing has happened.
   * It does not look at Host: it is not for a gateway whose authentication is off.
   */
  answerAtOnce(request: IncomingMessage, response: ServerResponse): boolean;
  /** What a poll comes to, asking a manager where that is needed. Rejects with `unavailable` where none answers. */
  poll(poll: Poll, signal: AbortSignal): Promise<InfoOutcome>;
  /** Answers with an info, or that it has not changed since. */
  send(request: IncomingMessage, response: ServerResponse, deviceGroup: string, info: InfoAnswer): void;
}>;

export type InfoDeps = Readonly<{ verdicts: KnownVerdicts; groups: PolledGroups; metrics: InfoMetrics; http: HttpMetrics }>;

/** Below /api/v2, as an operation writes it. */
export const INFO_PATH = "/device_groups/{device_group}/info";
/** What polls are counted under among all requests. */
export const INFO_ROUTE = `/api/v2${INFO_PATH}`;

const PREFIX = "/api/v2/device_groups/";
const SUFFIX = "/info";
/** What a credential may consist of; anything else is refused before a manager is asked. */
const PRINTABLE = /^[ -~]*$/;

export function serveInfo({ verdicts, groups, metrics, http }: InfoDeps): Info {
  function send(request: IncomingMessage, response: ServerResponse, deviceGroup: string, info: InfoAnswer): void {
    metrics.polled(deviceGroup);
    if (isKnown(request.headers["if-none-match"], info.etag)) response.writeHead(304, [...info.unchangedHeaders]).end();
    else if (request.method === "HEAD") response.writeHead(200, [...info.headers]).end();
    else response.writeHead(200, [...info.headers]).end(info.body, "latin1");
  }

  return {
    answerAtOnce(request, response) {
      const { url = "", method, headers } = request;
      if (method !== "GET" || !url.startsWith(PREFIX) || !url.endsWith(SUFFIX)) return false;
      const deviceGroup = url.slice(PREFIX.length, -SUFFIX.length); // one that is written another way is none that is known
      if (verdicts.known(headers.authorization ?? "", deviceGroup)?.kind !== "allowed") return false; // first: what is not allowed is no poll of the group
      const answer = groups.known(deviceGroup)?.answer;
      if (answer?.kind !== "info") return false;
      send(request, response, deviceGroup, answer.info);
      http.endedAtOnce(INFO_ROUTE, response.statusCode);
      return true;
    },

    async poll(poll, signal) {
      if (!PRINTABLE.test(poll.authorization)) return { kind: "unauthenticated", reason: "the authorization header holds more than printable ASCII" };
      const verdict = await verdicts.verdict(poll);
      if (verdict.kind !== "allowed") return verdict;
      if (!isName(poll.deviceGroup) || groups.isAbsent(poll.deviceGroup)) return { kind: "no_such_group" };
      return await groups.polled(poll.deviceGroup).answered(signal);
    },

    send,
  };
}

/** Whether an If-None-Match header names the etag (RFC 9110, 13.1.2: compared weakly). */
function isKnown(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  if (header === etag || header === "*") return true;
  return header.split(",").some((known) => known.trim().replace(/^W\//, "") === etag);
}

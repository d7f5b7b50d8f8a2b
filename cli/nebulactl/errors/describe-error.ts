import { Code, ConnectError } from "@connectrpc/connect";
import { isNebulaError, messageOf, type Violation } from "../../../common/errors/nebula-error.ts";
import { codeOf, systemReason } from "../../../common/errors/system-reason.ts";
import { speaksHttp2 } from "../../../common/rpc/speaks-http2.ts";
import { BadRequestSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import type { Login } from "../session/resolve-login.ts";
import { formatServerUrl } from "../session/server-url.ts";
import { type CallFacts, closedBeforeAnswer, connectionTrouble, endedWithoutAnswer, unknownOutcome } from "./connection-trouble.ts";

/** The limit of a probe of a server, milliseconds. */
const PROBE_MS = 1000;

/**
 * Describes an error to the user: one line with the fault, the value and what to do. If a request has several faults, a
 * line for each follows.
 * @param login the server and login of the run, once they are known
 */
export function describeError(error: unknown, login: Login | undefined, facts: CallFacts): string[] {
  if (isNebulaError(error)) return withViolations(error.message, error.violations);
  if (error instanceof ConnectError) return describeConnectError(error, login, facts);
  return [codeOf(error) === undefined ? `unhandled error: ${messageOf(error)}; --debug shows where it happened` : systemError(error)];
}

/** The same, after a probe of the server if the error alone does not show its protocol. */
export async function explainError(error: unknown, login: Login | undefined, { changing }: CallFacts): Promise<string[]> {
  const probed = login?.server.protocol === "http" && endedWithoutAnswer(error);
  return describeError(error, login, { changing, ...(probed ? { speaksGrpc: await speaksHttp2(login.server, PROBE_MS) } : {}) });
}

function systemError(error: unknown): string {
  const path = error instanceof Error && "path" in error && typeof error.path === "string" ? `${error.path} can't be used: ` : "";
  return `${path}${systemReason(error)}`;
}

function describeConnectError(error: ConnectError, login: Login | undefined, facts: CallFacts): string[] {
  const trouble = login === undefined ? undefined : (connectionTrouble(error, login, facts) ?? foreignAnswer(error, login, facts));
  if (trouble !== undefined) return [trouble];
  switch (error.code) {
    case Code.Unauthenticated:
      return [login === undefined ? error.rawMessage : refusedLogin(error, login)];
    case Code.DeadlineExceeded:
      return [`${serverOf(login)} did not answer in time; retry${unknownOutcome(facts.changing)}`];
    case Code.Unimplemented:
      return [`${serverOf(login)} does not know this call (${error.rawMessage}); check that it is a Nebula server of this version`];
    default: {
      const violations = error.findDetails(BadRequestSchema).flatMap(({ fieldViolations }) => fieldViolations);
      return withViolations(error.rawMessage || Code[error.code], violations);
    }
  }
}

/** Describes an answer that no Nebula server gives; undefined for all others. */
function foreignAnswer({ code, rawMessage }: ConnectError, { server }: Login, facts: CallFacts): string | undefined {
  const url = formatServerUrl(server);
  if (rawMessage.startsWith("http/2 stream closed")) return closedBeforeAnswer(server, facts);
  const wordless = code === Code.Unknown && rawMessage === ""; // JSON, but no error as our servers write one
  if (code === Code.Unauthenticated || !(wordless || /^HTTP \d+$|^unsupported content type/.test(rawMessage))) return undefined;
  return `${url} gave an unexpected answer${wordless ? "" : ` (${rawMessage})`}; check that this is the address of a Nebula server, and any proxy before it`;
}

function refusedLogin(error: ConnectError, { server, credentials, credentialsFrom }: Login): string {
  const url = formatServerUrl(server);
  if (credentials === undefined)
    return `${url} requires a login, and none is stored for it; use nebulactl login --server ${url}, or set NEBULA_TOKEN`;
  const who = credentials.kind === "token" ? "the token" : `user "${credentials.user}"`;
  return `${url} refused ${who} (from ${credentialsFrom}): ${error.rawMessage || "not a valid login"}; log in again with nebulactl login --server ${url}`;
}

function serverOf(login: Login | undefined): string {
  return login === undefined ? "the server" : formatServerUrl(login.server);
}

function withViolations(message: string, violations: readonly Violation[]): string[] {
  if (violations.length < 2) return [message];
  return [`${violations.length} fields are invalid:`, ...violations.map(({ field, description }) => `  ${field}: ${description}`)];
}

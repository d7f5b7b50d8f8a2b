import { create, isMessage } from "@bufbuild/protobuf";
import { FORWARDED_FOR_HEADER, PART_TOKEN_HEADER } from "../../common/access/part-token.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { REQUEST_ID_HEADER } from "../../common/rpc/request-id.ts";
import { pathOf } from "../../common/rpc/service-definition.ts";
import { Health } from "../../gen/grpc/health/v1/health_pb.ts";
import { AccessService, CheckRequestSchema, type CheckResponse, CheckResponseSchema, Verdict } from "../../gen/nebula/v1/access_pb.ts";
import { StatusService } from "../../gen/nebula/v1/status_pb.ts";
import type { Caller } from "../http/exchange.ts";
import type { CheckLogin } from "../http/request-body.ts";
import type { ManagerPool } from "../managers/manager-pool.ts";
import { API_SERVICES } from "./forwarder.ts";

const TIMEOUT_MS = 5000;

/** `subject`: the caller, as changes of access name it; empty: any change may concern the verdict. */
export type AccessVerdict = Readonly<{ kind: "allowed"; subject: string } | { kind: "unauthenticated" | "denied"; reason: string; subject: string }>;

export type AskVerdictDeps = Readonly<{ pool: Pick<ManagerPool, "unary">; partToken: string }>;

/** A call as AccessService.Check is asked for it: `request` is the encoded message. */
export type AskedCall = Readonly<{ authorization: string; method: string; request: Uint8Array; caller: Caller }>;

/** Asks AccessService.Check of a manager. Rejects with NebulaErrors where none says. */
export async function askVerdict({ pool, partToken }: AskVerdictDeps, call: AskedCall, signal: AbortSignal): Promise<AccessVerdict> {
  const { authorization, method, request, caller } = call;
  const check = create(CheckRequestSchema, { authorization, method, request });
  const headers = { [PART_TOKEN_HEADER]: partToken, [FORWARDED_FOR_HEADER]: caller.address, [REQUEST_ID_HEADER]: caller.requestId };
  const answer = await pool.unary(AccessService.method.check, check, { signal, headers, timeoutMs: TIMEOUT_MS });
  if (!isMessage(answer, CheckResponseSchema)) throw new NebulaError("internal", "a manager answered Check with something else");
  return verdictOf(answer);
}

function verdictOf({ verdict, reason, subject }: CheckResponse): AccessVerdict {
  switch (verdict) {
    case Verdict.ALLOWED:
      return { kind: "allowed", subject };
    case Verdict.UNAUTHENTICATED:
      return { kind: "unauthenticated", reason, subject };
    case Verdict.DENIED:
      return { kind: "denied", reason, subject };
    default: // nothing that this version knows
      throw new NebulaError("internal", "a manager answered Check without a verdict");
  }
}

/** Methods that need a login, by their paths. */
const GUARDED: ReadonlySet<string> = new Set(API_SERVICES.filter((service) => service !== Health).flatMap(({ methods }) => methods.map(pathOf)));

/** A call that needs a login and nothing else. */
const ANY_LOGIN = pathOf(StatusService.method.getStatus);

/** Asks whether an Authorization is valid before a large body is read. Rights are asked for later, with the request. */
export function checkLogin(deps: AskVerdictDeps): CheckLogin {
  return async ({ request, caller, path }, signal) => {
    const authorization = request.headers.authorization ?? "";
    if (!/^[ -~]*$/.test(authorization))
      throw new NebulaError("unauthenticated", "the authorization header holds characters other than printable ASCII");
    const method = GUARDED.has(path) ? path : ANY_LOGIN;
    const verdict = await askVerdict(deps, { authorization, method, request: new Uint8Array(), caller }, signal);
    if (verdict.kind === "unauthenticated") throw new NebulaError("unauthenticated", verdict.reason);
  };
}

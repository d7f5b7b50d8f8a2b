import { create, isMessage, toBinary } from "@bufbuild/protobuf";
import { FORWARDED_FOR_HEADER, PART_TOKEN_HEADER } from "../../../common/access/part-token.ts";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { REQUEST_ID_HEADER } from "../../../common/rpc/request-id.ts";
import { pathOf } from "../../../common/rpc/service-definition.ts";
import { AccessService, CheckRequestSchema, type CheckResponse, CheckResponseSchema, Verdict } from "../../../gen/nebula/v1/access_pb.ts";
import { ConfigService, GetConfigRequestSchema } from "../../../gen/nebula/v1/config_pb.ts";
import type { ManagerPool } from "../../manager-pool.ts";
import type { AskVerdict, VerdictOnPoll } from "./known-verdicts.ts";

/** A poll is let in where a read of its device_group's config would be: with `ro` on the group, or the token of a device of it. */
const METHOD = pathOf(ConfigService.method.getConfig);
const TIMEOUT_MS = 5000;

export type AskManagersDeps = Readonly<{ pool: Pick<ManagerPool, "unary">; partToken: string; signal: AbortSignal }>;

/** Asks AccessService.Check of a manager. */
export function askManagers({ pool, partToken, signal }: AskManagersDeps): AskVerdict {
  return async ({ authorization, deviceGroup, address, requestId }) => {
    const request = toBinary(GetConfigRequestSchema, create(GetConfigRequestSchema, { deviceGroup }));
    const check = create(CheckRequestSchema, { authorization, method: METHOD, request });
    const headers = { [PART_TOKEN_HEADER]: partToken, [FORWARDED_FOR_HEADER]: address, [REQUEST_ID_HEADER]: requestId };
    const answer = await pool.unary(AccessService.method.check, check, { signal, headers, timeoutMs: TIMEOUT_MS });
    if (!isMessage(answer, CheckResponseSchema)) throw new NebulaError("internal", "a manager answered Check with something else");
    return verdictOf(answer);
  };
}

function verdictOf({ verdict, reason }: CheckResponse): VerdictOnPoll {
  switch (verdict) {
    case Verdict.ALLOWED:
      return { kind: "allowed" };
    case Verdict.UNAUTHENTICATED:
      return { kind: "unauthenticated", reason };
    case Verdict.DENIED:
      return { kind: "denied", reason };
    default: // nothing that this version knows
      throw new NebulaError("internal", "a manager answered Check without a verdict");
  }
}

import { create, toBinary } from "@bufbuild/protobuf";
import { pathOf } from "../../../common/rpc/service-definition.ts";
import { ConfigService, GetConfigRequestSchema } from "../../../gen/nebula/v1/config_pb.ts";
import { type AskVerdictDeps, askVerdict } from "../../access-verdict.ts";
import type { AskVerdict } from "./known-verdicts.ts";

/** A poll is let in where a read of its device_group's config would be: with `ro` on the group, or the token of a device of it. */
const METHOD = pathOf(ConfigService.method.getConfig);

export type AskManagersDeps = AskVerdictDeps & Readonly<{ signal: AbortSignal }>;

/** Asks AccessService.Check of a manager. */
export function askManagers({ signal, ...deps }: AskManagersDeps): AskVerdict {
  return ({ authorization, deviceGroup, address, requestId }) => {
    const request = toBinary(GetConfigRequestSchema, create(GetConfigRequestSchema, { deviceGroup }));
    return askVerdict(deps, { authorization, method: METHOD, request, caller: { address, requestId } }, signal);
  };
}

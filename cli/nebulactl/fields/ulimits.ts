import { create } from "@bufbuild/protobuf";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { type Ulimit, UlimitSchema } from "../../../gen/nebula/v1/container_pb.ts";

/** `nofile=1024:2048`, soft and hard; one number is both; -1 is no limit. */
export function parseUlimit(text: string, label: string): Ulimit {
  const [, name = "", soft = "", hard = soft] = /^([a-z]+)=(-?\d+)(?::(-?\d+))?$/.exec(text.trim()) ?? [];
  if (name === "") throw new NebulaError("invalid_argument", `${label} wants name=soft or name=soft:hard, such as nofile=1024:2048, not "${text}"`);
  for (const limit of [soft, hard]) {
    if (!Number.isSafeInteger(Number(limit)))
      throw new NebulaError("invalid_argument", `invalid ${label} "${text}": use limits up to ${Number.MAX_SAFE_INTEGER}, or -1 for none`);
  }
  return create(UlimitSchema, { name, soft: BigInt(soft), hard: BigInt(hard) });
}

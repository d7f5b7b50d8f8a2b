import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { ConfigPushSchema, WatchConfigResponseSchema } from "../../gen/nebula/v1/config_pb.ts";

/** One answer of a watch, encoded once for every stream that gets it. */
export type WatchAnswer = Readonly<{
  /** Of a config its etag; empty for any other answer. */
  etag: string;
  /** The encoded WatchConfigResponse. */
  bytes: Uint8Array;
}>;

function encoded(answer: NonNullable<MessageInitShape<typeof WatchConfigResponseSchema>["answer"]>): WatchAnswer {
  return { etag: "", bytes: toBinary(WatchConfigResponseSchema, create(WatchConfigResponseSchema, { answer })) };
}

/** The device holds the newest config already. */
export const UNCHANGED = encoded({ case: "unchanged", value: {} });

/** There is no such device_group now. */
export const NO_SUCH_GROUP = encoded({ case: "noSuchGroup", value: {} });

/** The watch goes on elsewhere. @param address empty: ask for the shard map again @param retryAfterMs to wait before that, jittered */
export function redirectAnswer(address: string, retryAfterMs: number): WatchAnswer {
  return encoded({ case: "redirect", value: { address, retryAfterMs } });
}

/** Puts an encoded Config, as it is, into an answer: what the etag was made from is what the devices get, byte by byte. */
export function configAnswer(config: Uint8Array, etag: string): WatchAnswer {
  const bytes = new BinaryWriter()
    .tag(WatchConfigResponseSchema.field.config.number, WireType.LengthDelimited)
    .fork()
    .tag(ConfigPushSchema.field.config.number, WireType.LengthDelimited)
    .bytes(config)
    .tag(ConfigPushSchema.field.etag.number, WireType.LengthDelimited)
    .string(etag)
    .join()
    .finish();
  return { etag, bytes };
}

import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { ANSWER_FEATURES, type AnswerCase } from "../../common/config/watch-features.ts";
import { ConfigPushSchema, WatchConfigResponseSchema } from "../../gen/nebula/v1/config_pb.ts";

/** Bytes of a gRPC message's prefix: whether it is compressed, and its length. */
const PREFIX = 5;

/** One answer of a watch, encoded once for every stream that gets it. */
export type WatchAnswer = Readonly<{
  /** Of a config its etag; empty for any other answer. */
  etag: string;
  /** The encoded WatchConfigResponse. */
  bytes: Uint8Array;
  /** The same as a gRPC message, with its prefix of five bytes; `bytes` is part of it. */
  frame: Uint8Array;
  /** The feature without which a worker does not know the answer; undefined: every worker knows it. */
  feature: string | undefined;
}>;

/** Returns a message with the prefix of five bytes that gRPC puts before it. */
export function framed(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafeSlow(PREFIX + message.length);
  frame.writeUInt8(0, 0); // not compressed
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, PREFIX);
  return frame;
}

function answerOf(kind: AnswerCase, etag: string, message: Uint8Array): WatchAnswer {
  const frame = framed(message);
  return { etag, frame, bytes: frame.subarray(PREFIX), feature: ANSWER_FEATURES[kind] };
}

function encoded(answer: Extract<NonNullable<MessageInitShape<typeof WatchConfigResponseSchema>["answer"]>, { case: AnswerCase }>): WatchAnswer {
  return answerOf(answer.case, "", toBinary(WatchConfigResponseSchema, create(WatchConfigResponseSchema, { answer })));
}

/** The device holds the newest config already. */
export const UNCHANGED = encoded({ case: "unchanged", value: {} });

/** There is no such device_group now. */
export const NO_SUCH_GROUP = encoded({ case: "noSuchGroup", value: {} });

/**
 * Redirects the device to another shard.
 * @param address of that shard; empty: the device fetches the shard map and dials its first entry
 * @param retryAfterMs how long the device waits before that, jittered
 */
export function redirectAnswer(address: string, retryAfterMs: number): WatchAnswer {
  return encoded({ case: "redirect", value: { address, retryAfterMs } });
}

/** Wraps an encoded Config in an answer without another encoding: devices get byte for byte what the etag was computed from. */
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
  return answerOf("config", etag, bytes);
}

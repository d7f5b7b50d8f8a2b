import { createRequire } from "node:module";
import { decodeRecordSet } from "./record-sets.ts";

interface FetchDecoder {
  readInt32(): number;
  canReadBytes(length: number): boolean;
  readBytes(length: number): Buffer;
}

/** Reads an answer's records, in place of kafkajs' own function. */
export async function decodeMessages(decoder: FetchDecoder) {
  const length = decoder.readInt32();
  return length <= 0 || !decoder.canReadBytes(length) ? [] : decodeRecordSet(decoder.readBytes(length));
}

/** Puts decodeMessages in the place of kafkajs' own. In a bundle that is done when it is made (cli/build/bundle-programs.ts). */
export function replaceDecoder(): void {
  const load = createRequire(import.meta.url);
  const path = load.resolve("kafkajs/src/protocol/requests/fetch/v4/decodeMessages");
  // The decoders of answers are loaded with the first answer, and keep what they find then.
  const users = ["v4", "v11"].map((each) => load.resolve(`kafkajs/src/protocol/requests/fetch/${each}/response`));
  if (users.some((user) => load.cache[user] !== undefined)) throw new Error("kafkajs was used before kafkajs-guards.ts was loaded: import it first");
  load(path);
  const module = load.cache[path];
  if (module === undefined) throw new Error("the decoder of kafkajs was not found");
  module.exports = decodeMessages;
}

/**
 * The features of a worker beyond the first release. A worker names them when it opens a watch, and a shard sends an answer of a later kind only to
 * a worker that named the feature of it: another one would ignore the answer and wait without end.
 */
import type { WatchConfigResponse } from "../../gen/nebula/v1/config_pb.ts";

/** The largest request on the stream of a watch, bytes. A report above it is sent by SubmitReports. */
export const LARGEST_WATCH_REQUEST = 64 * 1024;

/** A kind of answer of a watch. */
export type AnswerCase = NonNullable<WatchConfigResponse["answer"]["case"]>;

/** The feature that each kind of answer needs; undefined: every worker knows it. A new kind gets a feature of its own. */
export const ANSWER_FEATURES: Readonly<Record<AnswerCase, string | undefined>> = {
  config: undefined,
  unchanged: undefined,
  noSuchGroup: undefined,
  redirect: undefined,
};

/** The features of this release, which its worker names. */
export const FEATURES: readonly string[] = Object.values(ANSWER_FEATURES).filter((feature) => feature !== undefined);

/** The features that a worker named, as far as this release knows them. */
export type Features = ReadonlySet<string>;

const NONE: Features = new Set();

/** Returns the features that a worker named; one object for all watches that named the same ones. */
export type ReadFeatures = (named: readonly string[]) => Features;

/** @param known the features of this release; a set of a few makes a few objects */
export function createReadFeatures(known: readonly string[] = FEATURES): ReadFeatures {
  const kept = new Map<string, Features>([["", NONE]]);
  return (named) => {
    if (named.length === 0) return NONE;
    const features = known.filter((feature) => named.includes(feature));
    const key = features.join();
    const found = kept.get(key) ?? new Set(features);
    kept.set(key, found);
    return found;
  };
}

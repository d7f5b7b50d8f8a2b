import { endedWithin } from "../../ended-within.ts";
import { messageOf } from "../../errors/nebula-error.ts";
import type { Log } from "../../log/log.ts";
import { type KafkaLogin, saslOptions } from "./kafka-login.ts";
import type { KafkaAddress } from "./kafka-url.ts";
import { Kafka, logLevel } from "./kafkajs-guards.ts";

/** How long a request may take, milliseconds; a Fetch or a join takes as much longer as it waits at the broker. */
export const REQUEST_LIMIT_MS = 5_000;
const CONNECT_LIMIT_MS = 3_000;
/** How long a close waits for a broker that does not answer, milliseconds. */
const CLOSE_LIMIT_MS = 5_000;

/** The retries of kafkajs itself before it gives up: short, because each user of it has a loop of its own. */
export const SHORT_RETRY = { initialRetryTime: 100, maxRetryTime: 1_000, retries: 3, restartOnFailure: async () => false };

/** Returns a client of a Kafka cluster, which connects with its first request. */
export function createKafka(address: KafkaAddress, login: KafkaLogin, log: Log): Kafka {
  const { ca, certificate } = login;
  const sasl = saslOptions(address, login);
  return new Kafka({
    clientId: "nebula",
    brokers: [...address.brokers],
    connectionTimeout: CONNECT_LIMIT_MS,
    authenticationTimeout: CONNECT_LIMIT_MS,
    requestTimeout: REQUEST_LIMIT_MS,
    retry: SHORT_RETRY,
    ...(address.tls ? { ssl: { ...(ca === undefined ? {} : { ca }), ...certificate } } : {}),
    ...(sasl === undefined ? {} : { sasl }),
    logLevel: logLevel.WARN,
    // The driver says itself, once, what fails; kafkajs repeats each attempt.
    logCreator: () => (entry) => log.debug({ kafkajs: entry.namespace, detail: entry.log.message }, "kafkajs"),
  });
}

/** The meaning of an error of Kafka for its caller. */
export type KafkaFailure = Readonly<{ kind: "unreachable" | "refused" | "missing" | "too_large" | "other"; text: string }>;

const REFUSALS = ["TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED", "SASL_AUTHENTICATION_FAILED"];

/** undefined: not an error of Kafka. */
export function kafkaFailure(error: unknown): KafkaFailure | undefined {
  if (!(error instanceof Error) || !error.name.startsWith("KafkaJS")) return undefined;
  const errors = [...causes(error)];
  const types = errors.flatMap((each) => ("type" in each && typeof each.type === "string" ? [each.type] : []));
  const text = messageOf(errors.at(-1));
  if (types.some((type) => REFUSALS.includes(type)) || errors.some(({ name }) => name === "KafkaJSSASLAuthenticationError"))
    return { kind: "refused", text };
  if (types.includes("UNKNOWN_TOPIC_OR_PARTITION") || types.includes("UNKNOWN_TOPIC_ID")) return { kind: "missing", text };
  if (types.includes("MESSAGE_TOO_LARGE") || types.includes("RECORD_LIST_TOO_LARGE")) return { kind: "too_large", text };
  return { kind: errors.some((each) => "retriable" in each && each.retriable === true) ? "unreachable" : "other", text };
}

function* causes(error: Error): Generator<Error> {
  yield error;
  if (error.cause instanceof Error && error.cause !== error) yield* causes(error.cause);
}

/** Waits for a call that takes no signal of its own; its result is left alone when the signal comes first, and so is its failure. */
export async function orAborted<T>(call: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  call.catch(() => {});
  try {
    return await Promise.race([call, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Waits for a close, which a broker that does not answer may hold up, but not longer than the limit. Its failure is left alone. */
export async function closed(close: Promise<unknown>, limitMs = CLOSE_LIMIT_MS): Promise<void> {
  await endedWithin(close, limitMs).catch(() => {});
}

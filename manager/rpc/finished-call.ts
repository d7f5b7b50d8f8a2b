/**
 * Cuts what is over from what it held. The engine allocates a function that is written where it is assigned to a property in the old generation, and Node does that
 * in each stream that is written to (`this.onwrite = ...` in its lib/internal/streams/writable.js). Such a function, and with it its stream, is garbage only at
 * the next full collection; each collection of the young generation keeps all that the stream leads to: of a call its request, its headers, its handler.
 */
import type { ServerInterceptingCallInterface, ServerUnaryCall } from "@grpc/grpc-js";
import type { CallStream } from "./call-stream.ts";

/** Cuts a call that was answered from all that it held. grpc-js asks it for nothing more. */
export function letGoOfCall(call: ServerUnaryCall<unknown, unknown>): void {
  call.removeAllListeners();
  for (const held of ["request", "metadata", "call"]) Reflect.set(call, held, undefined);
}

/** Cuts a call, as grpc-js holds it, from what its request was read with, once that is over: of a watch, which lasts for months, a tenth of all its objects. */
export function letGoOfReading(call: ServerInterceptingCallInterface): void {
  for (const held of ["decoder", "metadata", "metricsRecorder"]) Reflect.set(call, held, undefined);
}

/**
 * Cuts a stream whose call goes on, perhaps for months, from what its beginning left there: the headers that were sent, and the four objects that `once` makes of a
 * listener. A stream closes once; after an error, with which nothing is to be done, it closes too.
 */
export function letGoOfBeginning(stream: Pick<CallStream, "listeners" | "removeAllListeners" | "on">): void {
  const closers = stream.listeners("close");
  for (const event of ["close", "error"]) stream.removeAllListeners(event);
  for (const closer of closers) Reflect.apply(stream.on, stream, ["close", closer]); // the same function: `off` finds it
  stream.on("error", ignore);
  sentHeaders ??= Object.getOwnPropertySymbols(stream).find(({ description }) => description === "sent-headers");
  if (sentHeaders !== undefined) Reflect.set(stream, sentHeaders, undefined);
}

/** The name under which Node keeps the headers that a stream sent. */
let sentHeaders: symbol | undefined;

function ignore(): void {}

type Listened = { eventNames(): (string | symbol)[]; removeAllListeners(event: string | symbol): unknown };

/** Removes the listeners of a stream that is closed: all but those of its errors, without which an error would end the process. */
export function letGoOfListeners(stream: Listened): void {
  for (const event of stream.eventNames()) if (event !== "error") stream.removeAllListeners(event);
}

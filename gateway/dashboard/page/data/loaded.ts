import { Code, ConnectError } from "@connectrpc/connect";

/** Why there is nothing new to show. */
export type Trouble = Readonly<
  /** No answer: the gateway, the way to it, or its managers. It is tried again. */
  | { kind: "away" }
  /** The login ended, or there was none. */
  | { kind: "login" }
  /** The server answered, and refused. */
  | { kind: "refused"; code: string; message: string }
>;

/** Data of the server, and how new they are. Plain data: it passes from the worker that tabs share to a tab. */
export type Loaded<T> = Readonly<
  | { kind: "loading" }
  /** `asOfMs`: when the server said so last, milliseconds since 1970. `trouble`: what has kept newer data away since. */
  | { kind: "ready"; value: T; asOfMs: number; trouble: Trouble | undefined }
  | { kind: "failed"; trouble: Trouble }
>;

export const LOADING = { kind: "loading" } as const;

/** Data of now. */
export function ready<T>(value: T, asOfMs: number): Loaded<T> {
  return { kind: "ready", value, asOfMs, trouble: undefined };
}

/** The data that were shown stay, and show their age; where there are none, or they are not for this caller, the trouble is all. */
export function afterTrouble<T>(before: Loaded<T>, trouble: Trouble): Loaded<T> {
  if (before.kind !== "ready" || trouble.kind === "login") return { kind: "failed", trouble };
  return { ...before, trouble };
}

/** What a call that failed means for those who look at its data. */
export function troubleOf(error: unknown): Trouble {
  if (!(error instanceof ConnectError) || hasNoAnswer(error)) return { kind: "away" };
  if (error.code === Code.Unauthenticated) return { kind: "login" };
  return { kind: "refused", code: wordOf(error.code), message: error.rawMessage };
}

/** Fetch rejects with a TypeError where no answer arrives. */
function hasNoAnswer({ code, cause }: ConnectError): boolean {
  return code === Code.Unavailable || code === Code.DeadlineExceeded || code === Code.Aborted || cause instanceof TypeError;
}

function wordOf(code: Code): string {
  return (Code[code] ?? "Unknown").replace(/(?<=[a-z])[A-Z]/g, (letter) => `_${letter}`).toLowerCase();
}

import { Code, ConnectError } from "@connectrpc/connect";

/** Why there is nothing new to show. */
export type Trouble = Readonly<
  /** No answer: the gateway, the way to it, or its managers. The page tries again. */
  | { kind: "unreachable" }
  /** The login ended, or there was none. */
  | { kind: "login" }
  /** The server answered, and refused. */
  | { kind: "refused"; code: string; message: string }
  /** The page itself failed, not the server: a fault of the program. */
  | { kind: "fault"; message: string }
>;

/** Data of the server, and how new they are. Plain data: it passes from the worker that tabs share to a tab. */
export type Loaded<T> = Readonly<
  | { kind: "loading" }
  /** `asOfMs`: when the server answered this last, milliseconds since 1970. `trouble`: what has kept newer data away since. */
  | { kind: "ready"; value: T; asOfMs: number; trouble: Trouble | undefined }
  | { kind: "failed"; trouble: Trouble }
>;

export const LOADING = { kind: "loading" } as const;

/** Data of now. */
export function ready<T>(value: T, asOfMs: number): Loaded<T> {
  return { kind: "ready", value, asOfMs, trouble: undefined };
}

/** Whether the server says that the data do not exist, or not any more. */
export function isNotFound(state: Loaded<unknown>): boolean {
  return state.kind === "failed" && state.trouble.kind === "refused" && state.trouble.code === "not_found";
}

/**
 * Data that were shown stay, with their age, where the server gave no answer or has no room to answer. Any other refusal
 * is about the data: they were deleted, or are not for this caller any more.
 */
export function afterTrouble<T>(before: Loaded<T>, trouble: Trouble): Loaded<T> {
  const isAboutData = trouble.kind !== "unreachable" && !(trouble.kind === "refused" && trouble.code === "resource_exhausted");
  if (before.kind !== "ready" || isAboutData) return { kind: "failed", trouble };
  return { ...before, trouble };
}

/** The next state of what is shown, where its source may have forgotten the data that are shown: it cannot keep them. */
export function afterSource<T>(shown: Loaded<T>, next: Loaded<T>): Loaded<T> {
  if (next.kind === "failed") return afterTrouble(shown, next.trouble);
  return next.kind === "loading" && shown.kind === "ready" ? shown : next;
}

/**
 * Returns what a call that failed means for those who look at its data.
 * @param report gets an error that is not an answer of a call, which is a fault of the page
 */
export function troubleOf(error: unknown, report: (error: unknown) => void): Trouble {
  if (!(error instanceof ConnectError)) {
    report(error);
    return { kind: "fault", message: error instanceof Error ? error.message : String(error) };
  }
  if (hasNoAnswer(error)) return { kind: "unreachable" };
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

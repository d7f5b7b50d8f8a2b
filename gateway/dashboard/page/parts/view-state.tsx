import type { ComponentChildren } from "preact";
import { printableLine } from "../../../../common/printable.ts";
import { formatAge } from "../../../../common/text/age.ts";
import type { Loaded, Trouble } from "../data/loaded.ts";
import { usePage } from "./page-context.ts";

type Props<T> = Readonly<{
  of: Loaded<T>;
  /** The content if there is nothing yet, undefined if there is something. */
  empty?: (value: T) => ComponentChildren | undefined;
  children: (value: T) => ComponentChildren;
}>;

/** Data of the server in each of its states: on their way, none yet, there, there with their age, refused. */
export function ViewState<T>({ of, empty, children }: Props<T>) {
  const { now } = usePage();
  switch (of.kind) {
    case "loading":
      return <Loading />;
    case "failed":
      return <TroubleBox trouble={of.trouble} />;
    case "ready":
      return (
        <>
          {of.trouble !== undefined && (
            <p class="notice notice-warning">
              {/* the age is outside: a screen reader would speak it each second */}
              <span role="status">{of.trouble.kind === "refused" ? of.trouble.message : "The server does not answer."}</span> As of{" "}
              <span class="number">{formatAge(now.value - of.asOfMs)}</span> ago; it is tried again by itself.
            </p>
          )}
          {empty?.(of.value) ?? children(of.value)}
        </>
      );
  }
}

/** Lines where text is about to be. A moment passes before they are seen. */
function Loading() {
  return (
    <div class="loading" role="status">
      <span class="visually-hidden">Loading</span>
      <div class="loading-line" />
      <div class="loading-line" />
      <div class="loading-line" />
    </div>
  );
}

/** A failure, and what to do about it. */
export function TroubleBox({ trouble }: Readonly<{ trouble: Trouble }>) {
  const { title, text } = wordsOf(trouble);
  return (
    <div class="notice notice-failed" role="alert">
      <strong>{title}</strong>
      <p>{printableLine(text)}</p>
    </div>
  );
}

function wordsOf(trouble: Trouble): Readonly<{ title: string; text: string }> {
  switch (trouble.kind) {
    case "unreachable":
      return {
        title: "The server does not answer",
        text: "It is tried again every few seconds. If it lasts: nebulactl ping, and the log of the gateway.",
      };
    case "login":
      return { title: "You are not logged in", text: "Log in again." };
    case "fault":
      return { title: "This page has a fault", text: `${trouble.message}. Load it again; the console of the browser has the details.` };
    case "refused":
      return { title: REFUSALS[trouble.code] ?? "The server refused this", text: trouble.message };
  }
}

const REFUSALS: Readonly<Record<string, string>> = {
  permission_denied: "Your rights do not cover this",
  not_found: "There is nothing here",
  invalid_argument: "This address is not valid",
  invalid_change: "This is not valid: nothing was done",
  aborted: "It was changed meanwhile: nothing was done",
  resource_exhausted: "The server has no room for this now",
};

/** Shows what looks unintended, a sentence each; nothing if there is none. */
export function Warnings({ messages }: Readonly<{ messages: readonly string[] }>) {
  if (messages.length === 0) return null;
  return (
    <section class="notice notice-warning stack" aria-labelledby="warnings">
      <h2 id="warnings">What looks unintended</h2>
      <ul>
        {messages.map((message) => (
          <li key={message}>{printableLine(message)}</li>
        ))}
      </ul>
    </section>
  );
}

/** Where there is nothing yet: what it means, and the first thing to do. */
export function Empty({ title, children }: Readonly<{ title: string; children?: ComponentChildren }>) {
  return (
    <div class="empty">
      <strong>{title}</strong>
      {children}
    </div>
  );
}

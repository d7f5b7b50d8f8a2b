import { createClient, type Transport } from "@connectrpc/connect";
import { type ReadonlySignal, signal } from "@preact/signals";
import type { Clock } from "../../../../common/clock/clock.ts";
import { StatusService } from "../../../../gen/nebula/v1/status_pb.ts";
import type { PageUser } from "../data/live-hub.ts";
import { type Trouble, troubleOf } from "../data/loaded.ts";
import type { Attention } from "../data/reading.ts";

/** The user of the page. */
export type SessionState = Readonly<
  | { kind: "unknown"; trouble: Trouble | undefined }
  /** `why` says what to know at the form; empty: nothing. */
  | { kind: "out"; why: string }
  /** `isAdmin`: whether the user may do everything. */
  | { kind: "in"; user: string; isAdmin: boolean; version: string }
>;

export type Session = Readonly<{
  state: ReadonlySignal<SessionState>;
  /** Resolves with the reason of a refusal; empty: the user is logged in. */
  login: (user: string, password: string) => Promise<string>;
  logout: () => Promise<void>;
  /** A call was answered that there is no login. */
  ended: () => void;
  /** A call was answered for this user, who may have logged in from another tab, or has other rights now. */
  answered: (caller: PageUser) => Promise<void>;
}>;

const RETRY_MS = 3000;

export type SessionOptions = Readonly<{
  transport: Transport;
  attention: Attention;
  clock: Clock;
  /** Gets an error that is a fault of the page. */
  report: (error: unknown) => void;
  /** Loads the page again: all that it has is of another user. */
  reload: () => void;
}>;

/** Finds out who uses the page, and tries again while the server is unreachable and somebody looks. */
export function openSession({ transport, attention, clock, report, reload }: SessionOptions): Session {
  const status = createClient(StatusService, transport);
  const { signal: whileOpen } = new AbortController();
  const state = signal<SessionState>({ kind: "unknown", trouble: undefined });
  let isLeaving = false;

  async function find(): Promise<void> {
    for (;;) {
      try {
        const { user, admin, version } = await status.getStatus({});
        state.value = { kind: "in", user, isAdmin: admin, version };
        return;
      } catch (error) {
        const trouble = troubleOf(error, report);
        if (trouble.kind === "login") {
          state.value = { kind: "out", why: "" };
          return;
        }
        state.value = { kind: "unknown", trouble };
        await clock.sleep(RETRY_MS, whileOpen);
        if (!attention.isAwake()) await attention.whenAwake(whileOpen);
      }
    }
  }

  void find();
  return {
    state,
    async login(user, password) {
      const refusal = await post("/ui/login", { user, password });
      if (refusal === "") await find();
      return refusal;
    },
    async logout() {
      isLeaving = true;
      const refusal = await post("/ui/logout", {});
      isLeaving = false;
      state.value = { kind: "out", why: refusal === "" ? "" : `This browser is still logged in. ${refusal}` };
    },
    ended() {
      if (state.value.kind === "in" && !isLeaving) state.value = { kind: "out", why: "Your login ended. Log in again to continue where you were." };
    },
    async answered({ user, isAdmin }) {
      const shown = state.peek();
      if (shown.kind !== "in") return;
      if (shown.user === user) {
        if (shown.isAdmin !== isAdmin) state.value = { ...shown, isAdmin };
        return;
      }
      // an answer may be older than the login of this tab
      const now = await status.getStatus({}).catch(() => undefined);
      if (now !== undefined && now.user !== shown.user && state.peek() === shown) reload();
    },
  };
}

/** Resolves with the reason of a refusal, empty if there was none. */
async function post(path: string, body: object): Promise<string> {
  try {
    const response = await fetch(path, {
      method: "POST",
      body: JSON.stringify(body),
      headers: { "content-type": "application/json" },
      credentials: "same-origin",
      redirect: "error",
    });
    if (response.ok) return "";
    const { message }: { message?: unknown } = await response.json();
    return typeof message === "string" ? message : `the server answered ${response.status}`;
  } catch {
    return "The server does not answer. Try again in a moment.";
  }
}

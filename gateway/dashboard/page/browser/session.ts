import { createClient, type Transport } from "@connectrpc/connect";
import { type ReadonlySignal, signal } from "@preact/signals";
import type { Clock } from "../../../../common/clock/clock.ts";
import { StatusService } from "../../../../gen/nebula/v1/status_pb.ts";
import { type Trouble, troubleOf } from "../data/loaded.ts";

/** Who uses the page. */
export type SessionState = Readonly<
  | { kind: "unknown"; trouble: Trouble | undefined }
  /** `why` says what to know at the form; empty: nothing. */
  | { kind: "out"; why: string }
  | { kind: "in"; user: string; version: string }
>;

export type Session = Readonly<{
  state: ReadonlySignal<SessionState>;
  /** Resolves with the reason of a refusal; empty: the user is logged in. */
  login: (user: string, password: string) => Promise<string>;
  logout: () => Promise<void>;
  /** A call was answered that there is no login. */
  ended: () => void;
}>;

const RETRY_MS = 3000;

/** Finds out who uses the page, and keeps trying while the server is away. */
export function openSession(transport: Transport, clock: Clock): Session {
  const status = createClient(StatusService, transport);
  const state = signal<SessionState>({ kind: "unknown", trouble: undefined });
  let isLeaving = false;

  async function find(): Promise<void> {
    for (;;) {
      try {
        const { user, version } = await status.getStatus({});
        state.value = { kind: "in", user, version };
        return;
      } catch (error) {
        const trouble = troubleOf(error);
        if (trouble.kind === "login") {
          state.value = { kind: "out", why: "" };
          return;
        }
        state.value = { kind: "unknown", trouble };
        await clock.sleep(RETRY_MS, new AbortController().signal);
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
      if (state.value.kind === "in" && !isLeaving) state.value = { kind: "out", why: "Your login ended. Log in again to go on where you were." };
    },
  };
}

/** Resolves with the reason of a refusal; empty: there was none. */
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

import type { Transport } from "@connectrpc/connect";
import type { ReadonlySignal } from "@preact/signals";
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Clock } from "../../../../common/clock/clock.ts";
import type { LiveClient } from "../browser/live-client.ts";
import type { Router } from "../browser/router.ts";
import type { Session } from "../browser/session.ts";
import type { Attention } from "../data/reading.ts";
import type { KeptDrafts } from "../draft/kept-drafts.ts";

/** The part of the page that views and their parts reach. */
export type PageContext = Readonly<{
  transport: Transport;
  clock: Clock;
  attention: Attention;
  router: Router;
  session: Session;
  /** Live data, and whether the server answers. */
  live: LiveClient;
  /** The time of now, milliseconds since 1970; it moves once a second while the tab is visible. */
  now: ReadonlySignal<number>;
  drafts: KeptDrafts;
}>;

export const Page = createContext<PageContext | undefined>(undefined);

export function usePage(): PageContext {
  const page = useContext(Page);
  if (page === undefined) throw new Error("a part is used outside the page");
  return page;
}

import type { ComponentChildren } from "preact";
import type { Params } from "./match-path.ts";

/** The input that an address gives a view: the parts that its path names, and its filters. */
export type ViewProps = Readonly<{ params: Params; query: URLSearchParams }>;

/** A view: what is shown at the addresses of one form. */
export type View = Readonly<{
  /** `/ui/devices/:id`; a part that begins with a colon takes any text. */
  path: string;
  /** Of the tab and of the history of the browser, before "Nebula". */
  title: (params: Params) => string;
  /** Its word in the navigation. Absent: it is reached by links. */
  navigation?: string;
  /** Whether its data are for admins alone: its word is then in the navigation of no other user. */
  isForAdmins?: boolean;
  body: (props: ViewProps) => ComponentChildren;
}>;

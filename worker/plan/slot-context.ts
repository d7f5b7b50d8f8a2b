import type { AppDraft } from "./draft.ts";
import type { Work } from "./farewell.ts";
import type { ImageReadiness } from "./image.ts";
import type { TargetState } from "./states.ts";
import type { View } from "./view.ts";

/** What is to be done in one slot, and where it stands. */
export type SlotWork = Work & Readonly<{ state: TargetState }>;

export type SlotContext = Readonly<{
  draft: AppDraft;
  /** Why there is no container to be made from the image yet; undefined: nobody asked. */
  image: ImageReadiness | undefined;
  leaving: ReadonlySet<string>;
  evicted: ReadonlySet<string>;
  departing: ReadonlySet<string>;
  view: View;
}>;

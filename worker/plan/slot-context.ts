import type { AppDraft } from "./draft.ts";
import type { Work } from "./farewell.ts";
import type { ImageUse } from "./image.ts";
import type { TargetState } from "./states.ts";
import type { View } from "./view.ts";

/** What is to be done in one slot, and where it stands. */
export type SlotWork = Work & Readonly<{ state: TargetState }>;

export type SlotContext = Readonly<{
  draft: AppDraft;
  /** Whether a container may be made of the image now; undefined: none is to be made. */
  image: ImageUse | undefined;
  leaving: ReadonlySet<string>;
  evicted: ReadonlySet<string>;
  departing: ReadonlySet<string>;
  view: View;
}>;

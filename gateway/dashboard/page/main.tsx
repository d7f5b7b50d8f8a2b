/**
 * The dashboard in a browser. Speaks the API of the gateway as every other client does, with the cookie of a session.
 *
 * How a view is added:
 * 1. A folder `views/NAME/`: `NAME.tsx` exports its `View` (view.ts: path, title, word in the navigation, body) and
 *    imports `./NAME.css` if it has a style of its own. The model of the API's messages is pure and in `.ts` files
 *    beside it, which mocha tests.
 * 2. A line in `views.tsx`, and an address in `addresses/`, which other views link to by name, never by text.
 * 3. Data: `useReading(key, read)` reads again every few seconds, `usePages(key, fetchPage)` a list page by page, and
 *    `useLive(name, request)` follows by a stream; a new stream is an entry in `data/live-kinds.ts`. `<ViewState of={...}>`
 *    shows each of their states. `usePage()` has the transport for calls, the router and the session.
 * 4. Parts: `ViewTitle`, `LastChange`, `StateBar`, `Count`, `Age`, `Left`, `NameLink`, `StateWord`, `Table`, `ListTable`,
 *    `CommandLine`, `Dialog`, `DialogField`, `CommittedField`, `Empty`, all in `parts/`. Each action, and each list, shows its
 *    line of nebulactl.
 * 5. A test in `e2e/dashboard/`, against a real server in a real browser.
 *
 * Rules: nothing of another origin; no style attribute, no script in the document (its Content-Security-Policy refuses
 * both), so sizes are classes or attributes of SVG; imports are gen, pure files of common, and the packages that
 * common/imports.test.ts lists; script and style weigh at most 150 KB compressed (gateway/dashboard/serve/build-page.ts).
 */
import "./style.css"; // before the styles of views, whose rules override it

import { effect, signal } from "@preact/signals";
import { render } from "preact";
import { browserClock } from "./browser/browser-clock.ts";
import { openLiveClient } from "./browser/live-client.ts";
import { createRouter } from "./browser/router.ts";
import { openSession } from "./browser/session.ts";
import { createTransport } from "./browser/transport.ts";
import { HIDDEN_MS } from "./data/live-plan.ts";
import type { Attention } from "./data/reading.ts";
import { KeptDrafts } from "./draft/kept-drafts.ts";
import { Page } from "./parts/page-context.ts";
import { Shell } from "./shell.tsx";

const transport = createTransport();
const clock = browserClock;
const now = signal(clock.now());
setInterval(() => {
  if (!document.hidden) now.value = clock.now();
}, 1000);

const attention = watchAttention();
const session = openSession({ transport, attention, clock, report: reportError, reload: () => location.reload() });
const live = openLiveClient(transport);
const drafts = new KeptDrafts();
effect(() => {
  const state = session.state.value;
  if (state.kind === "in") {
    drafts.usedBy(state.user);
    live.start(state.user);
  } else live.stop();
});
effect(() => {
  const caller = live.pulse.value?.caller;
  if (caller !== undefined) void session.answered(caller);
});

const root = document.getElementById("page");
if (root !== null) {
  const page = { transport, clock, attention, router: createRouter(), session, live, now, drafts };
  render(
    <Page.Provider value={page}>
      <Shell />
    </Page.Provider>,
    root,
  );
}

/** Whether somebody looks at this tab. */
function watchAttention(): Attention {
  let hiddenAt = document.hidden ? Number.NEGATIVE_INFINITY : 0;
  document.addEventListener("visibilitychange", () => {
    hiddenAt = performance.now();
  });
  return {
    isAwake: () => !document.hidden || performance.now() - hiddenAt < HIDDEN_MS,
    whenAwake(signal) {
      return new Promise((resolve, reject) => {
        if (!document.hidden) return resolve();
        const onAbort = () => reject(signal.reason);
        const onChange = () => {
          signal.removeEventListener("abort", onAbort);
          resolve();
        };
        signal.addEventListener("abort", onAbort, { once: true });
        document.addEventListener("visibilitychange", onChange, { once: true, signal }); // the next change of a hidden tab is to visible
      });
    },
  };
}

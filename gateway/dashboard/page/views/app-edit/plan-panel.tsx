import { useLayoutEffect, useRef } from "preact/hooks";
import type { Violation } from "../../../../../common/errors/nebula-error.ts";
import { planText } from "../../../../../common/insight/text/plan-text.ts";
import { printableLine } from "../../../../../common/printable.ts";
import type { App } from "../../../../../gen/nebula/v1/app_pb.ts";
import { appAddress, appEditAddress, changeAddress } from "../../addresses/entity-addresses.ts";
import type { Trouble } from "../../data/loaded.ts";
import { faultText, type ReadDraft, sameApp } from "../../draft/draft.ts";
import { applyLine, fileOf, hindrance, type PlannedDraft } from "../../draft/plan-draft.ts";
import { ActionTrouble } from "../../parts/action-dialog.tsx";
import { CommandLine } from "../../parts/command-line.tsx";
import { usePage } from "../../parts/page-context.ts";

/** How far the plan of a draft is. */
export type Planning = Readonly<
  | { kind: "none" | "planning" }
  | { kind: "planned" | "applying"; planned: PlannedDraft }
  | { kind: "applied"; app: App; warnings: readonly string[] }
  /** `of`: the app that was planned or sent; `isSent`: whether it was sent, not only planned. */
  | { kind: "failed"; trouble: Trouble; isSent: boolean; of: App; violations: readonly Violation[] }
>;

type Props = Readonly<{
  planning: Planning;
  current: ReadDraft;
  isNew: boolean;
  isDirty: boolean;
  /** A revision that was made since the draft began. */
  newer: bigint | undefined;
  plan: () => void;
  apply: (planned: PlannedDraft) => void;
}>;

/** Shows the plan of the draft. A plan is made when it is asked for, and is void once the draft changes. */
export function PlanPanel({ planning, current, isNew, isDirty, newer, plan, apply }: Props) {
  const isStale = isStaleFor(planning, current);
  const isBusy = planning.kind === "planning" || planning.kind === "applying";
  const isPlanned = planning.kind === "planned" || planning.kind === "applying";
  const hinders = isPlanned ? hindrance(planning.planned.plan, isNew) : undefined;
  const mayApply = isPlanned && !isStale && hinders === undefined;
  const planButton = useRef<HTMLButtonElement>(null);
  useLayoutEffect(() => {
    if (planning.kind === "failed" && planning.isSent) planButton.current?.focus(); // the button that was pressed is not there any more
  }, [planning]);
  return (
    <section class="card plan-panel" aria-labelledby="plan">
      <div>
        <h2 id="plan">Plan</h2>
        <div role="status" class="stack">
          {newer !== undefined && planning.kind !== "applying" && (
            <p class="notice notice-warning">
              It is at revision {String(newer)} now. A plan takes over what was changed there and you did not touch.
            </p>
          )}
          {planning.kind === "none" && <p class="faint">{isDirty ? "A plan shows what the draft leads to." : "Nothing is changed yet."}</p>}
          {planning.kind === "planning" && <p>Asking the server what this leads to.</p>}
          {isPlanned && isStale && <p class="notice notice-warning">The draft has changed since this plan. Plan again.</p>}
          {isPlanned && <TakenOver planned={planning.planned} />}
          {planning.kind === "applied" && <Applied app={planning.app} warnings={planning.warnings} isNew={false} />}
        </div>
      </div>
      {isPlanned && (
        <>
          <Planned planned={planning.planned} isStale={isStale} />
          {!isStale && <Hindered why={hinders} name={planning.planned.app.name} />}
        </>
      )}
      {planning.kind === "failed" && <Refused planning={planning} isStale={isStale} />}
      <div class="actions">
        <button
          type="button"
          ref={planButton}
          class={mayApply ? "quiet" : ""}
          aria-disabled={isBusy}
          onClick={plan}
          aria-keyshortcuts="Control+Enter"
        >
          {planning.kind === "none" || planning.kind === "planning" || planning.kind === "applied" ? "Plan" : "Plan again"}
        </button>
        {isPlanned && (
          <button type="button" disabled={!mayApply} aria-disabled={isBusy} onClick={() => !isBusy && apply(planning.planned)}>
            Apply
          </button>
        )}
        <span class="faint">Ctrl+Enter plans</span>
      </div>
    </section>
  );
}

/** Whether a plan, or its failure, is of another draft than the one of now. */
function isStaleFor(planning: Planning, current: ReadDraft): boolean {
  const app =
    planning.kind === "planned" || planning.kind === "applying" ? planning.planned.app : planning.kind === "failed" ? planning.of : undefined;
  return app !== undefined && !(current.kind === "app" && sameApp(current.app, app));
}

function Planned({ planned, isStale }: Readonly<{ planned: PlannedDraft; isStale: boolean }>) {
  const { clock } = usePage();
  return (
    <>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, also with the keys */}
      <pre class={`plan ${isStale ? "plan-stale" : ""}`} tabIndex={0}>
        {planText(planned.plan, clock.now())}
      </pre>
      {!isStale && <CommandLine line={applyLine(planned)} label={`With the YAML as ${fileOf(planned.app.name)}`} />}
    </>
  );
}

function TakenOver({ planned: { takenOver, kept } }: Readonly<{ planned: PlannedDraft }>) {
  if (takenOver === undefined) return null;
  return (
    <p class="notice notice-warning">
      Revision {String(takenOver)} came in between: what you did not touch is as it is there.
      {kept.length > 0 && ` Changed there, and by you otherwise: ${printableLine(kept.join(", "))}; yours is planned.`}
    </p>
  );
}

function Hindered({ why, name }: Readonly<{ why: ReturnType<typeof hindrance>; name: string }>) {
  switch (why) {
    case "exists":
      return (
        <p class="notice notice-failed" role="alert">
          There is an app {printableLine(name)} already: choose another name, or <a href={appEditAddress(name)}>edit it</a>.
        </p>
      );
    case "rights":
      return (
        <p class="notice notice-failed" role="alert">
          Your rights do not cover this change: it needs rw on the app {printableLine(name)}.
        </p>
      );
    default:
      return null;
  }
}

function Refused({ planning: { trouble, isSent, violations }, isStale }: Readonly<{ planning: Planning & { kind: "failed" }; isStale: boolean }>) {
  if (violations.length === 0 || trouble.kind !== "refused") return <ActionTrouble trouble={trouble} isSent={isSent} />;
  return (
    <div class="notice notice-failed" role="alert">
      <strong>{isStale ? "The server refused the draft as it was" : "The server refuses the draft"}</strong>
      <ul>
        {violations.map((violation, index) => (
          <li key={`${index} ${violation.field}`}>{printableLine(faultText({ ...violation, line: undefined }))}</li>
        ))}
      </ul>
    </div>
  );
}

/** Shows what was written, and where it is followed. Takes the focus, as the button that was pressed is gone. */
export function Applied({ app: { name, revision }, warnings, isNew }: Readonly<{ app: App; warnings: readonly string[]; isNew: boolean }>) {
  const ref = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => ref.current?.focus(), []);
  return (
    <div class="notice" ref={ref} tabIndex={-1}>
      <strong>
        {printableLine(name)} is {isNew ? "created, at" : "at"} revision {String(revision)}
      </strong>
      {warnings.length > 0 && (
        <ul>
          {warnings.map((warning) => (
            <li key={warning}>{printableLine(warning)}</li>
          ))}
        </ul>
      )}
      <p class="actions">
        <a href={changeAddress({ kind: "app", name, revision })}>See how far devices are</a>
        <a href={appAddress(name)}>Go to the app</a>
      </p>
    </div>
  );
}

import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { printableLine } from "../../../../../common/printable.ts";
import { type App, AppService } from "../../../../../gen/nebula/v1/app_pb.ts";
import { PlanService } from "../../../../../gen/nebula/v1/plan_pb.ts";
import { appCreateAddress, appEditAddress } from "../../addresses/entity-addresses.ts";
import { plannedEntity } from "../../data/planned-entity.ts";
import { emptyApp } from "../../draft/app-form.ts";
import { type Draft, draftOf, faultText, inView, readDraft, sameApp, withLines } from "../../draft/draft.ts";
import { type PlanCalls, type PlannedDraft, planDraft, violationsOf } from "../../draft/plan-draft.ts";
import { troubleOfAction } from "../../parts/action-dialog.tsx";
import { usePage } from "../../parts/page-context.ts";
import { AppFormFields } from "./form.tsx";
import { Applied, type Planning, PlanPanel } from "./plan-panel.tsx";
import { YamlField } from "./yaml-field.tsx";

/** The beginning of the draft. */
export type Begin = Readonly<{ kind: "create"; name: string } | { kind: "edit"; read: App }>;

export type EditorProps = Readonly<{
  begin: Begin;
  /** The revision that the app has now, undefined if it does not exist or the server does not say. */
  newest: bigint | undefined;
}>;

/** A draft of an app, as a form or as YAML, with its plan beside it. Only what a plan showed is written. */
export function AppEditor({ begin, newest }: EditorProps) {
  const { transport, session, drafts } = usePage();
  const address = begin.kind === "edit" ? appEditAddress(begin.read.name) : appCreateAddress(begin.name);
  const kept = drafts.get(address);
  const [read, setRead] = useState<App | undefined>(kept === undefined ? readOf(begin) : kept.read);
  const [draft, setDraft] = useState<Draft>(() => kept?.draft ?? draftOf(read ?? emptyApp(nameOf(begin)), "form"));
  const [planning, setPlanning] = useState<Planning>({ kind: "none" });
  const [viewFaults, setViewFaults] = useState(false);
  const name = begin.kind === "edit" ? begin.read.name : undefined;
  const current = useMemo(() => readDraft(draft, name), [draft]);
  const isDirty = current.kind === "invalid" || !sameApp(current.app, read ?? emptyApp(nameOf(begin)));
  const latest = useRef(draft);
  latest.current = draft;
  useEffect(() => {
    if (isDirty) drafts.set(address, { draft, read });
    else drafts.delete(address);
  }, [draft, read, isDirty]);
  useHeld(isDirty, () => drafts.delete(address));

  const change = (next: Draft) => {
    setDraft(next);
    setViewFaults(false);
  };
  const fail = (error: unknown, of: App, isSent: boolean) => {
    const trouble = troubleOfAction(error);
    if (trouble.kind === "login") session.ended();
    setPlanning({ kind: "failed", trouble, isSent, of, violations: violationsOf(error) });
  };
  const plan = async () => {
    if (planning.kind === "planning" || planning.kind === "applying") return;
    if (current.kind === "invalid") return setViewFaults(true);
    const from = draft;
    setPlanning({ kind: "planning" });
    try {
      const planned = await planDraft(callsOf(transport), current.app, read);
      if (latest.current === from && planned.takenOver !== undefined) {
        setRead(planned.read);
        setDraft(draftOf(planned.app, from.view));
      }
      setPlanning({ kind: "planned", planned });
    } catch (error) {
      fail(error, current.app, false);
    }
  };
  const apply = async (planned: PlannedDraft) => {
    setPlanning({ kind: "applying", planned });
    try {
      const { app, warnings } = await write(transport, planned);
      drafts.delete(address); // also where the editor is not shown any more, as after a login that ended
      setRead(app);
      setDraft(draftOf(app, draft.view));
      setPlanning({ kind: "applied", app, warnings });
    } catch (error) {
      fail(error, planned.app, true);
    }
  };
  const show = (view: Draft["view"]) => {
    const shown = inView(draft, view);
    if (shown === undefined) setViewFaults(true);
    else change(shown);
  };

  const violations = planning.kind === "failed" ? withLines(planning.violations, current.kind === "app" ? current.lines : new Map()) : [];
  const faults = current.kind === "invalid" ? [...current.faults, ...violations] : violations;
  const isBusy = planning.kind === "applying";
  if (planning.kind === "applied" && begin.kind === "create") return <Applied app={planning.app} warnings={planning.warnings} isNew />;
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the key counts wherever the focus is within the editor
    <div
      class="editor"
      onKeyDown={(event) => {
        if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
        event.preventDefault();
        void plan();
      }}
    >
      <section class="card" aria-label="Draft">
        <fieldset class="as" aria-label="Edit as">
          {(["form", "yaml"] as const).map((view) => (
            <button key={view} type="button" class="quiet" aria-pressed={draft.view === view} onClick={() => show(view)}>
              {view === "form" ? "Form" : "YAML"}
            </button>
          ))}
        </fieldset>
        {viewFaults && current.kind === "invalid" && (
          <div class="notice notice-failed" role="alert">
            <strong>Fix this first</strong>
            {draft.view === "form" && (
              <ul>
                {current.faults.map((fault, index) => (
                  <li key={`${index} ${fault.field}`}>{printableLine(faultText(fault))}</li>
                ))}
              </ul>
            )}
            {draft.view === "yaml" && <p>{printableLine(current.faults.map(faultText)[0] ?? "")}</p>}
          </div>
        )}
        <fieldset class="bare" disabled={isBusy} aria-label={draft.view === "form" ? "Form" : "YAML"}>
          {draft.view === "form" ? (
            <AppFormFields draft={draft} isNew={begin.kind === "create"} faults={faults} change={change} />
          ) : (
            <YamlField text={draft.text} faults={faults} change={(text) => change({ view: "yaml", text })} />
          )}
        </fieldset>
      </section>
      <PlanPanel
        planning={planning}
        current={current}
        isNew={begin.kind === "create"}
        isDirty={isDirty}
        newer={newest !== undefined && read !== undefined && newest > read.revision ? newest : undefined}
        plan={() => void plan()}
        apply={(planned) => void apply(planned)}
      />
    </div>
  );
}

function readOf(begin: Begin): App | undefined {
  return begin.kind === "edit" ? begin.read : undefined;
}

function nameOf(begin: Begin): string {
  return begin.kind === "edit" ? begin.read.name : begin.name;
}

function callsOf(transport: Transport): PlanCalls {
  return {
    plan: (app) => createClient(PlanService, transport).plan({ changes: [{ change: { case: "app", value: app } }] }),
    async read(name) {
      const answer = await createClient(AppService, transport)
        .getApp({ name })
        .catch((error: unknown) => {
          if (error instanceof ConnectError && error.code === Code.NotFound) return undefined;
          throw error;
        });
      return answer?.app;
    },
  };
}

/** Writes exactly what was planned, or is refused. */
async function write(transport: Transport, { plan, app: planned }: PlannedDraft): Promise<Readonly<{ app: App; warnings: readonly string[] }>> {
  const apps = createClient(AppService, transport);
  const { existsBefore, revisionBefore } = plannedEntity(plan);
  const { app, warnings } = existsBefore
    ? await apps.updateApp({ app: planned, updateFields: ["*"], ifRevision: revisionBefore })
    : await apps.createApp({ app: planned });
  if (app === undefined) throw new Error("an answer without its app");
  return { app, warnings };
}

const QUESTION = "Leave this page? What you changed is not applied, and is lost.";

/** Has each way away from the page ask first. @param discard forgets what was typed */
function useHeld(isHeld: boolean, discard: () => void): void {
  const { router } = usePage();
  useLayoutEffect(() => {
    if (!isHeld) return;
    const ends = new AbortController();
    addEventListener("beforeunload", (event) => event.preventDefault(), { signal: ends.signal });
    const held = router.hold(() => {
      if (!confirm(QUESTION)) return false;
      discard();
      return true;
    });
    return () => {
      ends.abort();
      held[Symbol.dispose]();
    };
  }, [isHeld]);
}

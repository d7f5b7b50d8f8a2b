import { createClient, type Transport } from "@connectrpc/connect";
import { useState } from "preact/hooks";
import { planText } from "../../../../../common/insight/text/plan-text.ts";
import { plannedRollback } from "../../../../../common/insight/text/rollback-text.ts";
import { printableLine } from "../../../../../common/printable.ts";
import { capitalized } from "../../../../../common/text/wording.ts";
import { AppService, type GetAppResponse } from "../../../../../gen/nebula/v1/app_pb.ts";
import { TargetKind } from "../../../../../gen/nebula/v1/device_pb.ts";
import { HistoryService } from "../../../../../gen/nebula/v1/history_pb.ts";
import { PlannedKind, PlanService } from "../../../../../gen/nebula/v1/plan_pb.ts";
import {
  appAddress,
  appCreateAddress,
  appEditAddress,
  type Compared,
  changeAddress,
  comparedOf,
  revisionOf,
} from "../../addresses/entity-addresses.ts";
import { isNotFound } from "../../data/loaded.ts";
import { plannedEntity } from "../../data/planned-entity.ts";
import { ActionDialog, type ActionPlan } from "../../parts/action-dialog.tsx";
import { useLive, useReading } from "../../parts/ask-server.ts";
import { CommandLine } from "../../parts/command-line.tsx";
import { CommittedField } from "../../parts/committed-field.tsx";
import { commandLine, formatCount } from "../../parts/format.ts";
import { History } from "../../parts/history.tsx";
import { changedFields, type HistoryLine } from "../../parts/history-line.ts";
import { usePage } from "../../parts/page-context.ts";
import { StateBar } from "../../parts/state-bar.tsx";
import { StateLegend, StateNumber } from "../../parts/state-legend.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { Count, LastChange, NotCounted, StateWord, ViewTitle } from "../../parts/values.tsx";
import { Empty, ViewState } from "../../parts/view-state.tsx";
import type { View } from "../../view.ts";
import {
  PLANNED_VERBS,
  type PlaceLine,
  placesOf,
  rollbackLine,
  rollbackPlanText,
  secretsChoice,
  totalOf,
  uncountedText,
  type Verb,
  verbLine,
} from "./app-model.ts";
import { appSpec } from "./app-spec.ts";

/** One app: what it is, where it runs, how it came to be so, and the way back. */
export const appView: View = {
  path: "/ui/apps/:name",
  title: ({ name = "" }) => printableLine(name),
  body: ({ params: { name = "" }, query }) => <AppPage key={name} name={name} query={query} />,
};

/** The action that is being confirmed. */
type Asked = Readonly<{ kind: "verb"; verb: Verb } | { kind: "rollback"; to: bigint }>;

function AppPage({ name, query }: Readonly<{ name: string; query: URLSearchParams }>) {
  const { transport } = usePage();
  const [changes, setChanges] = useState(0);
  const [asked, setAsked] = useState<Asked | undefined>(undefined);
  const read = useReading(`app ${name}`, (signal) => createClient(AppService, transport).getApp({ name }, { signal }), changes);
  const newest = read.kind === "ready" ? (read.value.app?.revision ?? 0n) : 0n;
  const mayWrite = read.kind === "ready" && read.value.mayWrite;
  const isAbsent = isNotFound(read);
  const compared = comparedOf(query);
  const more = (line: HistoryLine) => <RevisionActions name={name} line={line} newest={newest} mayWrite={mayWrite} ask={setAsked} />;
  return (
    <>
      <ViewTitle kind="App" name={name} />
      {isAbsent ? (
        <Empty title="There is no such app">
          <p>It was deleted, or never was. If it has a history below, its last revision comes back with:</p>
          <CommandLine line={commandLine(["nebulactl", "rollback", `app/${name}`])} />
          <CreateInstead name={name} />
        </Empty>
      ) : (
        <ViewState of={read}>
          {(answer) => (
            <>
              <Head answer={answer} ask={setAsked} />
              <div class="columns">
                <Specification answer={answer} />
                <Places name={name} />
              </div>
            </>
          )}
        </ViewState>
      )}
      <section class="stack" aria-labelledby="history">
        <h2 id="history">History</h2>
        {compared !== undefined && <Comparison name={name} compared={compared} />}
        <History
          kind={TargetKind.APP}
          name={name}
          changes={changes}
          addressOf={(revision) => changeAddress({ kind: "app", name, revision })}
          more={more}
        />
        <CommandLine line={commandLine(["nebulactl", "history", `app/${name}`])} />
      </section>
      {asked !== undefined && <Confirmation name={name} asked={asked} close={() => setAsked(undefined)} changed={() => setChanges(changes + 1)} />}
    </>
  );
}

/** The way to create an app of this name, for those who may create apps. */
function CreateInstead({ name }: Readonly<{ name: string }>) {
  const state = useLive("overview", { deviceGroups: [], members: false });
  if (state.kind !== "ready" || state.value.mayCreate?.apps !== true) return null;
  return (
    <p>
      <a href={appCreateAddress(name)}>Create an app {printableLine(name)}</a>
    </p>
  );
}

function Head({ answer, ask }: Readonly<{ answer: GetAppResponse; ask: (asked: Asked) => void }>) {
  const { app, lastChange, mayWrite } = answer;
  const isRunning = app?.running !== false;
  const button = (verb: Verb, word: string) => (
    <button type="button" class="quiet" onClick={() => ask({ kind: "verb", verb })}>
      {word}
    </button>
  );
  return (
    <div class="view-head">
      <p class="faint">
        <StateWord state={isRunning ? "applied" : "offline"} word={isRunning ? "is to run" : "is stopped"} /> · revision{" "}
        <LastChange revision={app?.revision} change={lastChange} />
      </p>
      {mayWrite && (
        <div class="actions">
          <a class="as-button" href={appEditAddress(app?.name ?? "")}>
            Edit
          </a>
          {isRunning && button("restart", "Restart")}
          {isRunning ? button("stop", "Stop") : button("start", "Start")}
        </div>
      )}
    </div>
  );
}

function Specification({ answer: { app } }: Readonly<{ answer: GetAppResponse }>) {
  if (app === undefined) return null;
  return (
    <section class="card" aria-labelledby="specification">
      <h2 id="specification">Specification</h2>
      <dl class="pairs spec">
        {appSpec(app).map(({ field, label, values }) => (
          <div key={field}>
            <dt title={field}>{label}</dt>
            <dd>
              {values.map((value, index) => (
                <div key={`${index} ${value}`}>{value}</div>
              ))}
            </dd>
          </div>
        ))}
      </dl>
      <CommandLine line={commandLine(["nebulactl", "apps", "info", app.name])} />
    </section>
  );
}

function Places({ name }: Readonly<{ name: string }>) {
  const state = useLive("overview", { deviceGroups: [], members: true });
  return (
    <section class="card" aria-labelledby="places">
      <h2 id="places">Where it runs</h2>
      <ViewState of={state}>
        {(overview) => {
          const places = placesOf(name, overview);
          if (places.length === 0) {
            return (
              <Empty title="No group that you may see runs it">
                <CommandLine line={commandLine(["nebulactl", "device-groups", "update", "GROUP", "--apps", name])} label="Give it to one" />
              </Empty>
            );
          }
          return (
            <>
              <StateLegend states={totalOf(name, places).filter(({ state }) => state !== "never-came")} />
              {uncountedText(places) !== undefined && (
                <p class="notice notice-warning" role="status">
                  {uncountedText(places)}
                </p>
              )}
              <Table label="Groups" columns={PLACE_COLUMNS} rows={places} keyOf={({ group }) => group} />
            </>
          );
        }}
      </ViewState>
    </section>
  );
}

const PLACE_COLUMNS: readonly Column<PlaceLine>[] = [
  {
    key: "group",
    head: "Group",
    cell: ({ group, to }) => (
      <a class="name" href={to}>
        {group}
      </a>
    ),
  },
  {
    key: "devices",
    head: "Devices",
    isNumber: true,
    cell: ({ devices, listed, group }) => (devices === undefined ? <NotCounted /> : <Count value={devices} to={listed} of={`devices in ${group}`} />),
  },
  {
    key: "bar",
    head: "By state",
    cell: ({ states, devices }) => (devices === undefined ? <span class="faint">no room</span> : <StateBar parts={states} />),
  },
  ...(["applied", "failed"] as const).map(
    (state): Column<PlaceLine> => ({
      key: state,
      head: capitalized(state),
      isNumber: true,
      from: "medium",
      cell: ({ states, devices, group }) => (devices === undefined ? <NotCounted /> : <StateNumber states={states} state={state} within={group} />),
    }),
  ),
];

type RevisionActionsProps = Readonly<{ name: string; line: HistoryLine; newest: bigint; mayWrite: boolean; ask: (asked: Asked) => void }>;

function RevisionActions({ name, line: { revision, previous, hasBody }, newest, mayWrite, ask }: RevisionActionsProps) {
  return (
    <span class="row-actions">
      {previous > 0n && hasBody && <a href={appAddress(name, { from: previous, to: revision })}>Changes</a>}
      {newest > 0n && revision !== newest && hasBody && (
        <>
          <a class="from-medium" href={appAddress(name, { from: revision, to: newest })}>
            To now
          </a>
          {mayWrite && (
            <button
              type="button"
              class="quiet"
              aria-label={`Roll back to revision ${revision}`}
              onClick={() => ask({ kind: "rollback", to: revision })}
            >
              Roll back
            </button>
          )}
        </>
      )}
    </span>
  );
}

/** The differences between two revisions, which fields choose. */
function Comparison({ name, compared: { from, to } }: Readonly<{ name: string; compared: Compared }>) {
  const { transport, router } = usePage();
  const state = useReading(`compare ${name} ${from} ${to}`, (signal) => {
    const request = { kind: TargetKind.APP, name, revision: to, compareWith: from };
    return createClient(HistoryService, transport).getRevision(request, { signal });
  });
  const choice = (label: string, value: bigint, change: (value: bigint) => Compared) => (
    <CommittedField
      label={label}
      type="number"
      value={String(value)}
      commit={(typed) => {
        const revision = revisionOf(typed);
        if (revision !== undefined) router.go(appAddress(name, change(revision)), { replaces: true });
      }}
    />
  );
  return (
    <section class="card" aria-label="What differs">
      <div class="compared">
        {choice("From revision", from, (value) => ({ from: value, to }))}
        {choice("to revision", to, (value) => ({ from, to: value }))}
        <a href={appAddress(name)}>Close</a>
      </div>
      <ViewState of={state}>
        {({ revision }) => {
          if (revision?.body.case === undefined) return <p>Revision {formatCount(to)} is a delete.</p>;
          const fields = changedFields(revision.differences);
          if (fields.length === 0) return <p class="faint">No field differs.</p>;
          return (
            <table class="compared-fields" aria-label="Fields that differ">
              <tbody>
                {fields.map(({ field, change }, index) => (
                  <tr key={`${index} ${field}`}>
                    <th scope="row">{field}</th>
                    <td>{change}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          );
        }}
      </ViewState>
    </section>
  );
}

type ConfirmationProps = Readonly<{ name: string; asked: Asked; close: () => void; changed: () => void }>;

function Confirmation({ name, asked, close, changed }: ConfirmationProps) {
  const { transport, clock } = usePage();
  if (asked.kind === "rollback") {
    const plan = (signal: AbortSignal, secrets: boolean) =>
      planRollback(transport, { name, to: asked.to, secrets, now: clock.now(), changed }, signal);
    return <ActionDialog title={`Roll ${name} back to revision ${asked.to}`} verb="Roll back" plan={plan} close={close} />;
  }
  const { verb } = asked;
  const word = capitalized(verb);
  const plan = () => planOfVerb(transport, { name, verb, now: clock.now(), changed });
  return <ActionDialog title={`${word} ${name}`} verb={word} plan={plan} close={close} />;
}

type Planned = Readonly<{ name: string; now: number; changed: () => void }>;

async function planOfVerb(transport: Transport, { name, verb, now, changed }: Planned & Readonly<{ verb: Verb }>): Promise<ActionPlan> {
  const value = { kind: PlannedKind.APP, name, verb: PLANNED_VERBS[verb] };
  const plan = await createClient(PlanService, transport).plan({ changes: [{ change: { case: "action", value } }] });
  const apps = createClient(AppService, transport);
  const ifRevision = plannedEntity(plan).revisionBefore;
  const write = { start: apps.startApp, stop: apps.stopApp, restart: apps.restartApp }[verb];
  return {
    text: planText(plan, now),
    line: verbLine(verb, name, ifRevision),
    async apply() {
      const { app } = await write({ name, ifRevision });
      changed();
      return `${name} is at revision ${app?.revision}. Where it runs shows how far it is.`;
    },
  };
}

type PlannedRollback = Planned & Readonly<{ to: bigint; secrets: boolean }>;

async function planRollback(transport: Transport, { name, to, secrets, now, changed }: PlannedRollback, signal: AbortSignal): Promise<ActionPlan> {
  const history = createClient(HistoryService, transport);
  const request = { kind: TargetKind.APP, name, to, secrets };
  const planned = await history.rollback({ ...request, dryRun: true }, { signal });
  const change = plannedRollback(planned);
  const isUnchanged = planned.revision === planned.revisionBefore;
  const plan = change === undefined || isUnchanged ? undefined : await createClient(PlanService, transport).plan({ changes: [change] }, { signal });
  const text = rollbackPlanText(name, planned, plan, now);
  const shown = { text, line: rollbackLine(name, to, secrets), choice: secretsChoice(planned, secrets) };
  if (isUnchanged) return shown;
  return {
    ...shown,
    async apply() {
      const { revision } = await history.rollback({ ...request, ifRevision: planned.revisionBefore });
      changed();
      return `${name} is at revision ${revision}, as revision ${to} was. Where it runs shows how far it is.`;
    },
  };
}

import { useState } from "preact/hooks";
import { capitalized } from "../../../../../common/text/wording.ts";
import type { FleetOverview, GetOverviewResponse } from "../../../../../gen/nebula/v1/fleet_pb.ts";
import { devicesAddress } from "../../addresses/devices-filter.ts";
import { groupAddress } from "../../addresses/entity-addresses.ts";
import { useLive } from "../../parts/ask-server.ts";
import { CommandLine } from "../../parts/command-line.tsx";
import { formatCount } from "../../parts/format.ts";
import { usePage } from "../../parts/page-context.ts";
import { StateBar } from "../../parts/state-bar.tsx";
import { StateLegend, StateNumber } from "../../parts/state-legend.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { Age, Count, NotCounted } from "../../parts/values.tsx";
import { ViewState } from "../../parts/view-state.tsx";
import type { View } from "../../view.ts";
import { GroupDialog } from "../group-edit/group-dialog.tsx";
import { FirstSteps } from "./first-steps.tsx";
import { isBeforeFirstDevice } from "./first-steps-model.ts";
import {
  type ChangeLine,
  changeLines,
  devicesOf,
  failureTallies,
  type GroupLine,
  groupLines,
  listedOf,
  moreChangesText,
  type NamedChange,
  onlineCount,
  stateCounts,
  type Tally,
  versionTallies,
} from "./overview-model.ts";
import "./overview.css";

/** The fleet at a glance. */
export const overviewView: View = { path: "/ui/", title: () => "Overview", navigation: "Overview", body: () => <Overview /> };

/** Changes that are shown, and codes and versions. */
const CHANGES = 6;
const TALLIES = 8;

function Overview() {
  const { router } = usePage();
  const state = useLive("overview", { deviceGroups: [], members: false });
  const [isCreating, setCreating] = useState(false);
  const [created, setCreated] = useState<string | undefined>(undefined);
  const createGroup = () => setCreating(true);
  const close = () => {
    setCreating(false);
    if (created !== undefined) router.go(groupAddress(created));
  };
  return (
    <>
      <h1 tabIndex={-1}>Overview</h1>
      <ViewState of={state}>
        {(overview) => (
          <>
            {isBeforeFirstDevice(overview) && <FirstSteps overview={overview} createGroup={createGroup} />}
            {overview.groups.length > 0 && <Numbers overview={overview} createGroup={createGroup} />}
          </>
        )}
      </ViewState>
      {/* not within the overview: what is offered there changes while the dialog is open */}
      {isCreating && <GroupDialog group={undefined} written={setCreated} close={close} />}
    </>
  );
}

function Numbers({ overview, createGroup }: Readonly<{ overview: GetOverviewResponse; createGroup: () => void }>) {
  const { fleet } = overview;
  if (fleet === undefined) return null;
  const changes = changeLines(overview);
  const more = moreChangesText(overview, CHANGES);
  return (
    <div class="overview">
      <Fleet fleet={fleet} groups={overview.groups.length} />
      <div class="columns">
        <section class="card" aria-labelledby="changes">
          <h2 id="changes">Changes of the last hour</h2>
          {changes.length === 0 ? <p class="faint">Nothing was changed.</p> : <Changes changes={changes.slice(0, CHANGES)} />}
          {more !== undefined && <p class="faint">{more}</p>}
          <CommandLine line="nebulactl changes" />
        </section>
        <div class="column">
          <section class="card" aria-labelledby="failures">
            <h2 id="failures">What is wrong</h2>
            <Tallies tallies={failureTallies(fleet)} none="No device reports a failure." state="failed" />
          </section>
          <section class="card" aria-labelledby="versions">
            <h2 id="versions">Workers by version</h2>
            <Tallies tallies={versionTallies(fleet)} none="No worker reported yet." state="applied" />
          </section>
        </div>
      </div>
      <section aria-labelledby="groups">
        <div class="view-head">
          <h2 id="groups">Device groups</h2>
          {overview.mayCreate?.deviceGroups === true && (
            <div class="actions">
              <button type="button" class="quiet" onClick={createGroup}>
                Create a device group
              </button>
            </div>
          )}
        </div>
        <Table label="Device groups" columns={GROUP_COLUMNS} rows={groupLines(overview)} keyOf={({ name }) => name} />
        <CommandLine line="nebulactl overview" />
      </section>
    </div>
  );
}

function Fleet({ fleet, groups }: Readonly<{ fleet: FleetOverview; groups: number }>) {
  const listed = listedOf(fleet);
  const states = stateCounts(fleet.states, listed);
  const online = onlineCount(fleet.states, listed);
  const devices = devicesOf(fleet.states);
  return (
    <section class="card fleet" aria-label="Devices by state">
      <p class="fleet-line">
        <span class="fleet-devices">
          <Count value={devices} to={listed === undefined ? undefined : devicesAddress(listed)} of="devices" />
        </span>{" "}
        {devices === 1n ? "device" : "devices"} in {formatCount(groups)} {groups === 1 ? "group" : "groups"},{" "}
        <Count value={online.count} to={online.to} of="online" /> online
      </p>
      <StateLegend states={states} />
      {fleet.uncountedGroups > 0n && (
        <p class="notice notice-warning" role="status">
          The server has no room to count {formatCount(fleet.uncountedGroups)} of the groups; their devices are in no number.
        </p>
      )}
    </section>
  );
}

function Changes({ changes }: Readonly<{ changes: readonly ChangeLine[] }>) {
  return (
    <ul class="changes">
      {changes.map(({ key, what, to, revision, detail, by, at, isSuperseded, states, devices }) => (
        <li key={key}>
          <div class="change-head">
            <ChangeName what={what} to={to} />
            <span class="faint number change-detail">
              revision {formatCount(revision)} · {detail} · {by}
            </span>
          </div>
          {isSuperseded || states.length === 0 ? (
            <span class="faint change-none">{isSuperseded ? "A newer revision took its place." : "No devices follow it."}</span>
          ) : (
            <>
              <StateBar parts={states} />
              <p class="number change-count">
                <StateNumber states={states} state="applied" within={what} /> of {formatCount(devices)}
              </p>
            </>
          )}
          <span class="faint change-age">
            <Age of={at} />
          </span>
        </li>
      ))}
    </ul>
  );
}

/** The name of a change, which leads to its page. */
function ChangeName({ what, to }: Pick<NamedChange, "what" | "to">) {
  return to === undefined ? (
    <span class="name">{what}</span>
  ) : (
    <a class="name" href={to}>
      {what}
    </a>
  );
}

/** Numbers by word, the largest as a full bar. */
function Tallies({ tallies, none, state }: Readonly<{ tallies: readonly Tally[]; none: string; state: string }>) {
  if (tallies.length === 0) return <p class="faint">{none}</p>;
  const most = tallies.reduce((most, { count }) => (count > most ? count : most), 1n);
  return (
    <ul class="tallies">
      {tallies.slice(0, TALLIES).map(({ key, word, count, to }) => (
        <li key={key}>
          <span class="tally-word" title={word}>
            <bdi>{word}</bdi>
          </span>
          <svg class="tally-bar" aria-hidden="true">
            <rect class={`fill-${state}`} width={`${Math.max(1, (Number(count) / Number(most)) * 100)}%`} height="100%" rx="2" />
          </svg>
          <Count value={count} to={to} of={`devices: ${word}`} />
        </li>
      ))}
      {tallies.length > TALLIES && <li class="faint">{formatCount(tallies.length - TALLIES)} more</li>}
    </ul>
  );
}

const GROUP_COLUMNS: readonly Column<GroupLine>[] = [
  {
    key: "name",
    head: "Group",
    cell: ({ name, to, exists }) => (
      <>
        <a class="name" href={to}>
          {name}
        </a>
        {!exists && <span class="faint"> does not exist</span>}
      </>
    ),
  },
  {
    key: "devices",
    head: "Devices",
    isNumber: true,
    cell: ({ name, devices }) =>
      devices === undefined ? <NotCounted /> : <Count value={devices} to={devicesAddress({ group: name })} of={`devices of ${name}`} />,
  },
  {
    key: "bar",
    head: "By state",
    cell: ({ states, devices }) =>
      devices === undefined ? (
        <span class="faint">no room</span>
      ) : devices === 0n ? (
        <span class="faint">no devices</span>
      ) : (
        <StateBar parts={states} />
      ),
  },
  ...(["applied", "working", "failed", "offline"] as const).map(
    (state): Column<GroupLine> => ({
      key: state,
      head: capitalized(state),
      isNumber: true,
      from: state === "failed" ? "medium" : "wide",
      cell: ({ states, name, devices }) => (devices === undefined ? <NotCounted /> : <StateNumber states={states} state={state} within={name} />),
    }),
  ),
  {
    key: "changed",
    head: "Newest change",
    from: "wide",
    cell: ({ change }) =>
      change === undefined ? (
        ""
      ) : (
        <>
          <ChangeName what={change.what} to={change.to} />{" "}
          <span class="faint">
            by {change.by} <Age of={change.at} />
          </span>
        </>
      ),
  },
];

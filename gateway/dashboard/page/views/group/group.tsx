import { createClient } from "@connectrpc/connect";
import { useState } from "preact/hooks";
import { printableLine } from "../../../../../common/printable.ts";
import { capitalized } from "../../../../../common/text/wording.ts";
import { DeviceGroupService, type GetDeviceGroupResponse } from "../../../../../gen/nebula/v1/device_group_pb.ts";
import { TargetKind } from "../../../../../gen/nebula/v1/device_pb.ts";
import { type DevicesFilter, devicesFilterOf } from "../../addresses/devices-filter.ts";
import { changeAddress, groupAddress } from "../../addresses/entity-addresses.ts";
import type { LiveState } from "../../data/live-kinds.ts";
import { isNotFound, type Loaded } from "../../data/loaded.ts";
import { useLive, useReading } from "../../parts/ask-server.ts";
import { CommandLine } from "../../parts/command-line.tsx";
import { commandLine, formatCount } from "../../parts/format.ts";
import { History } from "../../parts/history.tsx";
import { usePage } from "../../parts/page-context.ts";
import { StateBar } from "../../parts/state-bar.tsx";
import { StateLegend, StateNumber } from "../../parts/state-legend.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { Age, Count, NotCounted, ViewTitle } from "../../parts/values.tsx";
import { Empty, ViewState, Warnings } from "../../parts/view-state.tsx";
import type { View } from "../../view.ts";
import { DeviceList } from "../devices/devices.tsx";
import { devicesOf, failureTallies, onlineCount, stateCounts } from "../overview/overview-model.ts";
import { EnrolmentTokens } from "./enrolment-tokens.tsx";
import { type GroupAction, GroupConfirmation, GroupHead } from "./group-actions.tsx";
import { type MemberLine, memberLines, overviewOf } from "./group-model.ts";

/** One device_group: what it runs, its devices, and its changes. */
export const groupView: View = {
  path: "/ui/groups/:name",
  title: ({ name = "" }) => printableLine(name),
  body: ({ params: { name = "" }, query }) => <Group key={name} name={name} query={query} />,
};

function Group({ name, query }: Readonly<{ name: string; query: URLSearchParams }>) {
  const { transport } = usePage();
  const [changes, setChanges] = useState(0);
  const [asked, setAsked] = useState<GroupAction | undefined>(undefined);
  const read = useReading(
    `group ${name}`,
    (signal) => createClient(DeviceGroupService, transport).getDeviceGroup({ name, warnings: true }, { signal }),
    changes,
  );
  const changed = () => setChanges(changes + 1);
  const isAbsent = isNotFound(read);
  return (
    <>
      <ViewTitle kind="Device group" name={name} />
      {isAbsent && (
        <Empty title="There is no such device group">
          <p>It was deleted, or never was. If it has a history below, its last revision comes back with:</p>
          <CommandLine line={commandLine(["nebulactl", "rollback", `device_group/${name}`])} />
        </Empty>
      )}
      {!isAbsent && <Present name={name} query={query} read={read} changes={changes} changed={changed} ask={setAsked} />}
      <section class="stack" aria-labelledby="history">
        <h2 id="history">Changes of the group</h2>
        <History
          kind={TargetKind.DEVICE_GROUP}
          name={name}
          changes={changes}
          addressOf={(revision) => changeAddress({ kind: "device_group", name, revision })}
        />
        <CommandLine line={commandLine(["nebulactl", "history", `device_group/${name}`])} />
      </section>
      {asked !== undefined && (
        <GroupConfirmation
          name={name}
          action={asked}
          answer={read.kind === "ready" ? read.value : undefined}
          changed={changed}
          close={() => setAsked(undefined)}
        />
      )}
    </>
  );
}

type PresentProps = Readonly<{
  name: string;
  query: URLSearchParams;
  read: Loaded<GetDeviceGroupResponse>;
  changes: number;
  changed: () => void;
  ask: (action: GroupAction) => void;
}>;

/** The parts of a device_group that exists. Its numbers and devices are asked for at once, and not only when it has been read. */
function Present({ name, query, read, changes, changed, ask }: PresentProps) {
  const overview = useLive("overview", { deviceGroups: [name], members: true });
  return (
    <>
      <ViewState of={read}>
        {(answer) => (
          <>
            <GroupHead answer={answer} ask={ask} />
            <Numbers name={name} answer={answer} overview={overview} edit={answer.mayWrite ? () => ask("edit") : undefined} />
            <Warnings messages={answer.warnings} />
          </>
        )}
      </ViewState>
      {read.kind !== "failed" && (
        <section class="stack" aria-labelledby="devices">
          <h2 id="devices">Devices</h2>
          <DeviceList filter={{ ...devicesFilterOf(query), group: name }} addressOf={(filter) => groupAddress(name, filter)} isOfOneGroup={true} />
        </section>
      )}
      {read.kind === "ready" && read.value.mayWrite && <EnrolmentTokens deviceGroup={name} changes={changes} changed={changed} />}
    </>
  );
}

type NumbersProps = Readonly<{
  name: string;
  answer: GetDeviceGroupResponse;
  overview: Loaded<LiveState<"overview">>;
  /** Undefined if the caller may not. */
  edit: (() => void) | undefined;
}>;

function Numbers({ name, answer, overview: state, edit }: NumbersProps) {
  return (
    <ViewState of={state}>
      {(overview) => {
        const group = overviewOf(name, overview);
        const members = memberLines(answer.deviceGroup ?? { name, apps: [], cronJobs: [] }, group);
        const addressOf = (filter: DevicesFilter) => groupAddress(name, filter);
        const failures = overview.fleet === undefined ? [] : failureTallies(overview.fleet, addressOf);
        const devices = devicesOf(group?.states);
        const online = onlineCount(group?.states, {}, addressOf);
        return (
          <>
            <section class="card" aria-label="Devices by state">
              {group?.uncounted === true ? (
                <p class="notice notice-warning" role="status">
                  Not counted: the server has no room to count the devices of this group.
                </p>
              ) : (
                <>
                  <p class="faint">
                    <span class="number">{formatCount(devices)}</span> {devices === 1n ? "device" : "devices"},{" "}
                    <Count value={online.count} to={online.to} of="online" /> online
                  </p>
                  <StateLegend states={stateCounts(group?.states, {}, addressOf)} />
                </>
              )}
              {failures.length > 0 && (
                <p>
                  What is wrong:{" "}
                  {failures.map(({ key, word, count, to }, index) => (
                    <span key={key}>
                      {index > 0 && ", "}
                      <Failure text={`${formatCount(count)} ${word}`} to={to} />
                    </span>
                  ))}
                </p>
              )}
            </section>
            <section class="stack" aria-labelledby="members">
              <h2 id="members">What it runs, in its order</h2>
              {members.length === 0 ? (
                <Empty title="This group runs nothing yet">
                  {edit !== undefined && (
                    <div class="actions">
                      <button type="button" onClick={edit}>
                        Choose what it runs
                      </button>
                    </div>
                  )}
                  <CommandLine line={commandLine(["nebulactl", "device-groups", "update", name, "--apps", "APP"])} label="Give it an app" />
                </Empty>
              ) : (
                <Table label="Members" columns={MEMBER_COLUMNS} rows={members} keyOf={({ kind, name: member }) => `${kind}/${member}`} />
              )}
              <CommandLine line={commandLine(["nebulactl", "device-groups", "info", name])} />
            </section>
          </>
        );
      }}
    </ViewState>
  );
}

function Failure({ text, to }: Readonly<{ text: string; to: string | undefined }>) {
  return <bdi>{to === undefined ? text : <a href={to}>{text}</a>}</bdi>;
}

const MEMBER_COLUMNS: readonly Column<MemberLine>[] = [
  { key: "place", head: "Place", isHeadHidden: true, isNumber: true, from: "medium", cell: ({ place }) => <span class="faint">{place}</span> },
  {
    key: "name",
    head: "Name",
    cell: ({ name, to, kind }) => (
      <>
        {to === undefined ? (
          <span class="name">{name}</span>
        ) : (
          <a class="name" href={to}>
            {name}
          </a>
        )}
        {kind === "cron_job" && <span class="faint"> cron_job</span>}
      </>
    ),
  },
  {
    key: "revision",
    head: "Newest",
    isNumber: true,
    cell: ({ revision, isDeleted }) =>
      revision === 0n ? <span class="faint">not visible</span> : isDeleted ? <span class="state-failed">deleted</span> : formatCount(revision),
  },
  {
    key: "changed",
    head: "Changed",
    from: "wide",
    cell: ({ revision, at, by, action }) =>
      revision === 0n ? (
        ""
      ) : (
        <>
          {action} <Age of={at} /> <span class="faint">by {printableLine(by)}</span>
        </>
      ),
  },
  {
    key: "bar",
    head: "By state",
    cell: ({ revision, states }) => (revision === 0n ? "" : states === undefined ? <NotCounted /> : <StateBar parts={states} />),
  },
  ...(["applied", "working", "failed", "offline"] as const).map(
    (state): Column<MemberLine> => ({
      key: state,
      head: capitalized(state),
      isNumber: true,
      from: state === "failed" || state === "applied" ? "medium" : "wide",
      cell: ({ name, states, revision }) =>
        revision === 0n ? "" : states === undefined ? <NotCounted /> : <StateNumber states={states} state={state} within={name} />,
    }),
  ),
];

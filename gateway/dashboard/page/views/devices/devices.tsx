import { createClient } from "@connectrpc/connect";
import { useRef } from "preact/hooks";
import { SORT_WORDS, sortedBy } from "../../../../../common/insight/text/device-sort.ts";
import { DeviceService } from "../../../../../gen/nebula/v1/device_pb.ts";
import {
  CODE_WORDS,
  type DevicesFilter,
  devicesAddress,
  devicesCommand,
  devicesFilterOf,
  devicesRequest,
  nextSort,
  OFFLINE_TIMES,
  STANDING_WORDS,
  STATE_WORDS,
} from "../../addresses/devices-filter.ts";
import { deviceAddress, groupAddress } from "../../addresses/entity-addresses.ts";
import type { Loaded } from "../../data/loaded.ts";
import { usePages } from "../../parts/ask-server.ts";
import { CommandLine } from "../../parts/command-line.tsx";
import { CommittedField } from "../../parts/committed-field.tsx";
import { commandLine } from "../../parts/format.ts";
import { usePage } from "../../parts/page-context.ts";
import { type Column, Table } from "../../parts/table.tsx";
import { Age, ListedCount, NameLink, StateWord } from "../../parts/values.tsx";
import { Empty, ViewState } from "../../parts/view-state.tsx";
import type { View, ViewProps } from "../../view.ts";
import { type DeviceRow, deviceRow, eachOnce } from "./device-row.ts";
import "./devices.css";

const PAGE_SIZE = 100;

/** The list of devices, by the filter of its address. */
export const devicesView: View = { path: "/ui/devices", title: () => "Devices", navigation: "Devices", body: (props) => <Devices {...props} /> };

const COLUMNS: readonly Column<DeviceRow>[] = [
  {
    key: "id",
    head: "Device",
    order: "device_id",
    cell: ({ id, name }) => <NameLink name={name} to={deviceAddress(id)} />,
  },
  { key: "group", head: "Group", order: "device_group", from: "medium", cell: ({ group }) => <a href={groupAddress(group)}>{group}</a> },
  { key: "state", head: "State", order: "state", cell: ({ state }) => <StateWord state={state} /> },
  { key: "trouble", head: "What is wrong", from: "medium", cell: ({ trouble }) => trouble },
  {
    key: "connection",
    head: "Connection",
    order: "connection",
    cell: ({ connection, since }) => (
      <>
        <StateWord state={connection} />
        {since !== undefined && (
          <span class="faint from-wide">
            {" "}
            <Age of={since} suffix="" />
          </span>
        )}
      </>
    ),
  },
  { key: "version", head: "Worker", order: "worker_version", from: "wide", cell: ({ version }) => version },
  { key: "reported", head: "Reported", order: "reported", from: "medium", isNumber: true, cell: ({ reportedAt }) => <Age of={reportedAt} /> },
];

function Devices({ query }: ViewProps) {
  return (
    <>
      <h1 tabIndex={-1}>Devices</h1>
      <DeviceList filter={devicesFilterOf(query)} addressOf={devicesAddress} />
    </>
  );
}

type DeviceListProps = Readonly<{
  filter: DevicesFilter;
  /** Where the list of a filter is shown. */
  addressOf: (filter: DevicesFilter) => string;
  /** Whether all are of one device_group, which is in the filter. */
  isOfOneGroup?: boolean;
}>;

/** The devices of a filter, with fields that change it. */
export function DeviceList({ filter, addressOf, isOfOneGroup = false }: DeviceListProps) {
  const { transport, router } = usePage();
  const { state, onView } = usePages<DeviceRow>(devicesAddress(filter), async (pageToken, signal) => {
    const request = { ...devicesRequest(filter), pageSize: PAGE_SIZE, pageToken };
    const { devices, nextPageToken } = await createClient(DeviceService, transport).listDevices(request, { signal });
    return { items: devices.map(deviceRow), nextPageToken };
  });
  const all = isOfOneGroup ? { group: filter.group } : {};
  const { sort, ...unsorted } = filter;
  const isFiltered = devicesAddress(unsorted) !== devicesAddress(all);
  const shown = useKept(devicesAddress(unsorted), state);
  const { by, isDescending = false } = sortedBy(sort) ?? {};
  const change = (next: DevicesFilter) => router.go(addressOf(next), { replaces: true });
  return (
    <>
      <Filters filter={filter} change={change} isOfOneGroup={isOfOneGroup} />
      <CommandLine line={devicesCommand(filter)} />
      <ViewState
        of={shown}
        empty={({ items, hasMore }) =>
          items.length > 0 || hasMore ? undefined : isFiltered ? <NoneMatches all={addressOf(all)} /> : <NoDevices group={all.group} />
        }
      >
        {({ items, hasMore }) => {
          const rows = eachOnce(items);
          return (
            <>
              <ListedCount count={rows.length} hasMore={hasMore} one="device" />
              <Table
                label="Devices"
                columns={isOfOneGroup ? COLUMNS.filter(({ key }) => key !== "group") : COLUMNS}
                rows={rows}
                keyOf={({ id }) => id}
                hasMore={hasMore}
                onView={onView}
                sorting={{ by, isDescending, choose: (order) => change({ ...filter, sort: nextSort(sort, order) }) }}
              />
            </>
          );
        }}
      </ViewState>
    </>
  );
}

/** The state of a list, and while the same devices are read in another order, the one before: the heads of the table stay, and so does their focus. */
function useKept<T>(devices: string, state: Loaded<T>): Loaded<T> {
  const kept = useRef<Readonly<{ devices: string; state: Loaded<T> }> | undefined>(undefined);
  if (state.kind !== "loading" || kept.current?.devices !== devices) kept.current = { devices, state };
  return kept.current.state;
}

function NoneMatches({ all }: Readonly<{ all: string }>) {
  return (
    <Empty title="No device matches this filter">
      <p>
        <a href={all}>Show all devices</a>
      </p>
    </Empty>
  );
}

function NoDevices({ group }: Readonly<{ group: string | undefined }>) {
  return (
    <Empty title="There are no devices yet">
      <p>Make a token for one, then start a worker with it:</p>
      <CommandLine line={commandLine(["nebulactl", "devices", "enroll", "--device-group", group ?? "GROUP"])} label="First" />
    </Empty>
  );
}

type FiltersProps = Readonly<{ filter: DevicesFilter; change: (filter: DevicesFilter) => void; isOfOneGroup: boolean }>;

function Filters({ filter, change, isOfOneGroup }: FiltersProps) {
  const choice = (label: string, name: "state" | "standing" | "connection" | "code" | "longer", words: Iterable<string>) => (
    <label>
      <span>{label}</span>
      <select value={filter[name] ?? ""} onChange={({ currentTarget }) => change({ ...filter, [name]: currentTarget.value || undefined })}>
        <option value="">any</option>
        {[...words].map((word) => (
          <option key={word} value={word}>
            {word}
          </option>
        ))}
      </select>
    </label>
  );
  const text = (label: string, name: "group" | "version" | "problem" | "target") => (
    <CommittedField
      label={label}
      type="search"
      value={filter[name] ?? ""}
      commit={(typed) => change({ ...filter, [name]: typed.trim() || undefined })}
    />
  );
  const toggle = (label: string, name: "failing" | "outdated") => (
    <label class="toggle">
      <input
        type="checkbox"
        checked={filter[name] ?? false}
        onChange={({ currentTarget }) => change({ ...filter, [name]: currentTarget.checked || undefined })}
      />
      <span>{label}</span>
    </label>
  );
  return (
    <search>
      <form class="filters" aria-label="Filter of devices" onSubmit={(event) => event.preventDefault()}>
        {!isOfOneGroup && text("Group", "group")}
        {choice("State", "state", STATE_WORDS.keys())}
        {choice(filter.target === undefined ? "With the newest config" : "With this app or change", "standing", STANDING_WORDS.keys())}
        {choice("Connection", "connection", ["online", "offline"])}
        {choice("Offline longer than", "longer", OFFLINE_TIMES.keys())}
        {choice("Code", "code", CODE_WORDS.keys())}
        {text("Problem", "problem")}
        {text("App or change", "target")}
        {text("Worker", "version")}
        <label>
          <span>Order</span>
          <select value={filter.sort ?? ""} onChange={({ currentTarget }) => change({ ...filter, sort: currentTarget.value || undefined })}>
            <option value="">group and id</option>
            {SORT_WORDS.map((word) => (
              <option key={word} value={word}>
                {word}
              </option>
            ))}
          </select>
        </label>
        {toggle("Failing", "failing")}
        {toggle("Not at the newest config", "outdated")}
      </form>
    </search>
  );
}

import { createClient } from "@connectrpc/connect";
import { DeviceService } from "../../../../../gen/nebula/v1/device_pb.ts";
import {
  CODE_WORDS,
  type DevicesFilter,
  devicesAddress,
  devicesCommand,
  devicesFilterOf,
  devicesRequest,
  OFFLINE_TIMES,
  STATE_WORDS,
} from "../../addresses/devices-filter.ts";
import { deviceAddress } from "../../addresses/entity-addresses.ts";
import { CommandLine } from "../../parts/command-line.tsx";
import { formatCount } from "../../parts/format.ts";
import { usePage } from "../../parts/page-context.ts";
import { type Column, Table } from "../../parts/table.tsx";
import { usePages } from "../../parts/use-pages.ts";
import { Age, StateWord } from "../../parts/values.tsx";
import { Empty, ViewState } from "../../parts/view-state.tsx";
import type { View, ViewProps } from "../../view.ts";
import { type DeviceRow, deviceRow } from "./device-row.ts";
import "./devices.css";

const PAGE_SIZE = 100;

/** The list of devices, by the filter of its address. */
export const devicesView: View = { path: "/ui/devices", title: () => "Devices", navigation: "Devices", body: (props) => <Devices {...props} /> };

const COLUMNS: readonly Column<DeviceRow>[] = [
  {
    key: "id",
    head: "Device",
    cell: ({ id, name }) => (
      <a class="name" href={deviceAddress(id)}>
        <bdi>{name}</bdi>
      </a>
    ),
  },
  { key: "group", head: "Group", from: "medium", cell: ({ group }) => <a href={devicesAddress({ group })}>{group}</a> },
  { key: "state", head: "State", cell: ({ state }) => <StateWord state={state} /> },
  { key: "trouble", head: "What is wrong", from: "medium", cell: ({ trouble }) => trouble },
  {
    key: "connection",
    head: "Connection",
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
  { key: "version", head: "Worker", from: "wide", cell: ({ version }) => version },
  { key: "reported", head: "Reported", from: "medium", isNumber: true, cell: ({ reportedAt }) => <Age of={reportedAt} /> },
];

function Devices({ query }: ViewProps) {
  const { transport, router } = usePage();
  const filter = devicesFilterOf(query);
  const address = devicesAddress(filter);
  const { state, onView } = usePages<DeviceRow>(address, async (pageToken, signal) => {
    const request = { ...devicesRequest(filter), pageSize: PAGE_SIZE, pageToken };
    const { devices, nextPageToken } = await createClient(DeviceService, transport).listDevices(request, { signal });
    return { items: devices.map(deviceRow), nextPageToken };
  });
  const isFiltered = address !== devicesAddress();
  return (
    <>
      <h1 tabIndex={-1}>Devices</h1>
      <Filters filter={filter} change={(next) => router.go(devicesAddress(next), { replaces: true })} />
      <CommandLine line={devicesCommand(filter)} />
      <ViewState of={state} empty={({ items, hasMore }) => (items.length > 0 || hasMore ? undefined : isFiltered ? <NoneMatches /> : <NoDevices />)}>
        {({ items, hasMore }) => (
          <>
            <p class="faint" role="status">
              {formatCount(items.length)} {hasMore ? "devices so far" : items.length === 1 ? "device" : "devices"}
            </p>
            <Table label="Devices" columns={COLUMNS} rows={items} keyOf={({ id }) => id} hasMore={hasMore} onView={onView} />
          </>
        )}
      </ViewState>
    </>
  );
}

function NoneMatches() {
  return (
    <Empty title="No device matches this filter">
      <p>
        <a href={devicesAddress()}>Show all devices</a>
      </p>
    </Empty>
  );
}

function NoDevices() {
  return (
    <Empty title="There are no devices yet">
      <p>Make a token for one, then start a worker with it:</p>
      <CommandLine line="nebulactl devices enroll --device-group GROUP" label="First" />
    </Empty>
  );
}

type FiltersProps = Readonly<{ filter: DevicesFilter; change: (filter: DevicesFilter) => void }>;

function Filters({ filter, change }: FiltersProps) {
  const choice = (label: string, name: "state" | "code" | "longer", words: Iterable<string>) => (
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
  const text = (label: string, name: "group" | "version") => (
    <label>
      <span>{label}</span>
      <input
        type="search"
        value={filter[name] ?? ""}
        onChange={({ currentTarget }) => change({ ...filter, [name]: currentTarget.value.trim() || undefined })}
      />
    </label>
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
  const connection = (value: string) => (value === "online" || value === "offline" ? value : undefined);
  return (
    <search>
      <form class="filters" aria-label="Filter of devices" onSubmit={(event) => event.preventDefault()}>
        {text("Group", "group")}
        {choice("State", "state", STATE_WORDS.keys())}
        <label>
          <span>Connection</span>
          <select
            value={filter.connection ?? ""}
            onChange={({ currentTarget }) => change({ ...filter, connection: connection(currentTarget.value) })}
          >
            <option value="">any</option>
            <option value="online">online</option>
            <option value="offline">offline</option>
          </select>
        </label>
        {choice("Offline longer than", "longer", OFFLINE_TIMES.keys())}
        {choice("Code", "code", CODE_WORDS.keys())}
        {text("Worker", "version")}
        {toggle("Failing", "failing")}
        {toggle("Not at the newest config", "outdated")}
      </form>
    </search>
  );
}

import { createClient } from "@connectrpc/connect";
import { printableLine } from "../../../../../common/printable.ts";
import { type App, AppService } from "../../../../../gen/nebula/v1/app_pb.ts";
import { APPS_PATH, appAddress, appCreateAddress } from "../../addresses/entity-addresses.ts";
import { useLive, usePages } from "../../parts/ask-server.ts";
import { CommandLine } from "../../parts/command-line.tsx";
import { commandLine, formatCount } from "../../parts/format.ts";
import { usePage } from "../../parts/page-context.ts";
import { type Column, ListTable } from "../../parts/table.tsx";
import { NameLink, StateWord } from "../../parts/values.tsx";
import { Empty } from "../../parts/view-state.tsx";
import type { View } from "../../view.ts";

const PAGE_SIZE = 100;

/** The list of apps, also of those that no device_group runs. */
export const appsView: View = { path: APPS_PATH, title: () => "Apps", navigation: "Apps", body: () => <Apps /> };

function Apps() {
  const { transport } = usePage();
  const overview = useLive("overview", { deviceGroups: [], members: false });
  const mayCreate = overview.kind === "ready" && overview.value.mayCreate?.apps === true;
  const list = usePages<App>("apps", async (pageToken, signal) => {
    const { apps, nextPageToken } = await createClient(AppService, transport).listApps({ pageSize: PAGE_SIZE, pageToken }, { signal });
    return { items: apps, nextPageToken };
  });
  return (
    <>
      <div class="view-head">
        <h1 tabIndex={-1}>Apps</h1>
        {mayCreate && (
          <a class="as-button" href={appCreateAddress()}>
            Create an app
          </a>
        )}
      </div>
      <CommandLine line={commandLine(["nebulactl", "apps", "list"])} />
      <ListTable list={list} label="Apps" columns={COLUMNS} keyOf={({ name }) => name} one="app" none={<NoApps mayCreate={mayCreate} />} />
    </>
  );
}

function NoApps({ mayCreate }: Readonly<{ mayCreate: boolean }>) {
  return (
    <Empty title="There are no apps that you may see">
      {mayCreate && <p>An app says which image runs, and how. Create one, then give it to a device group.</p>}
      <CommandLine line={commandLine(["nebulactl", "apps", "create", "APP", "--image", "IMAGE"])} label="First" />
    </Empty>
  );
}

const COLUMNS: readonly Column<App>[] = [
  {
    key: "name",
    head: "App",
    cell: ({ name }) => <NameLink name={name} to={appAddress(name)} />,
  },
  { key: "image", head: "Image", cell: ({ dockerImage }) => <span title={printableLine(dockerImage)}>{printableLine(dockerImage)}</span> },
  {
    key: "runs",
    head: "State",
    from: "medium",
    cell: ({ running }) => (running === false ? <StateWord state="offline" word="is stopped" /> : <StateWord state="applied" word="is to run" />),
  },
  { key: "revision", head: "Revision", isNumber: true, from: "medium", cell: ({ revision }) => formatCount(revision) },
];

import { createClient } from "@connectrpc/connect";
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { printableLine } from "../../../../../common/printable.ts";
import { type App, AppService, type GetAppResponse } from "../../../../../gen/nebula/v1/app_pb.ts";
import { APP_CREATE_PATH, APP_EDIT_PATH, appAddress } from "../../addresses/entity-addresses.ts";
import { isNotFound, type Loaded } from "../../data/loaded.ts";
import { useReading } from "../../parts/ask-server.ts";
import { usePage } from "../../parts/page-context.ts";
import { Empty, TroubleBox, ViewState } from "../../parts/view-state.tsx";
import type { View } from "../../view.ts";
import type { EditorProps } from "./editor.tsx";
import "./app-edit.css";

/** The editor of an app. */
export const appEditView: View = {
  path: APP_EDIT_PATH,
  title: ({ name = "" }) => `Edit ${printableLine(name)}`,
  body: ({ params: { name = "" } }) => <EditPage key={name} name={name} />,
};

/** The same editor for an app that does not exist yet. */
export const appCreateView: View = {
  path: APP_CREATE_PATH,
  title: () => "Create an app",
  body: ({ query }) => (
    <>
      <h1 tabIndex={-1}>Create an app</h1>
      <Editor key={query.get("name")} begin={{ kind: "create", name: query.get("name") ?? "" }} newest={undefined} />
    </>
  ),
};

function EditPage({ name }: Readonly<{ name: string }>) {
  const { transport } = usePage();
  const read = useReading(`app ${name}`, (signal) => createClient(AppService, transport).getApp({ name }, { signal }));
  const now = read.kind === "ready" ? read.value : undefined;
  const begun = useRef<App | undefined>(undefined);
  if (now?.mayWrite === true) begun.current ??= now.app;
  return (
    <>
      <p class="kind-of-view">Edit app</p>
      <h1 tabIndex={-1} class="view-name">
        <a href={appAddress(name)}>{printableLine(name)}</a>
      </h1>
      {begun.current === undefined ? (
        <ViewState of={read}>{() => <Empty title="Your rights do not cover changes of this app" />}</ViewState>
      ) : (
        <>
          <Meanwhile read={read} />
          <Editor begin={{ kind: "edit", read: begun.current }} newest={now?.app?.revision} />
        </>
      )}
    </>
  );
}

/** Shows what happened to the app since its draft began, beside newer revisions. The draft stays. */
function Meanwhile({ read }: Readonly<{ read: Loaded<GetAppResponse> }>) {
  if (isNotFound(read)) {
    return (
      <p class="notice notice-warning" role="status">
        The app was deleted meanwhile. A plan of this draft creates it again.
      </p>
    );
  }
  if (read.kind === "failed") return <TroubleBox trouble={read.trouble} />;
  if (read.kind === "loading" || read.value.mayWrite) return null;
  return (
    <p class="notice notice-warning" role="status">
      Your rights do not cover changes of this app any more.
    </p>
  );
}

type EditorScript = Readonly<{ kind: "loading" | "failed" } | { kind: "ready"; body: (props: EditorProps) => ComponentChildren }>;

/** The editor, whose script is loaded when it is first shown: it brings the reader of YAML. */
function Editor(props: EditorProps) {
  const [loaded, setLoaded] = useState<EditorScript>({ kind: "loading" });
  useEffect(() => {
    import("./editor.tsx").then(
      ({ AppEditor }) => setLoaded({ kind: "ready", body: AppEditor }),
      () => setLoaded({ kind: "failed" }),
    );
  }, []);
  switch (loaded.kind) {
    case "loading":
      return <p role="status">The editor is loading.</p>;
    case "failed":
      return (
        <div class="notice notice-failed" role="alert">
          <strong>The editor could not be loaded</strong>
          <p>The server does not answer, or has another version now.</p>
          <button type="button" onClick={() => location.reload()}>
            Load the page again
          </button>
        </div>
      );
    case "ready":
      return <loaded.body {...props} />;
  }
}

import { useEffect, useRef, useState } from "preact/hooks";
import { printableLine } from "../../../common/printable.ts";
import { formatAge } from "../../../common/text/age.ts";
import { matchPath } from "./match-path.ts";
import { Dialog } from "./parts/dialog.tsx";
import { usePage } from "./parts/page-context.ts";
import { TroubleBox } from "./parts/view-state.tsx";
import { ACCOUNT_PATH } from "./views/account/account.tsx";
import { VIEWS } from "./views.tsx";

/** The frame of all views: who uses the page, where to go, whether the server answers; before a login its form. */
export function Shell() {
  const { session } = usePage();
  const state = session.state.value;
  switch (state.kind) {
    case "unknown":
      return <main class="alone">{state.trouble === undefined ? null : <TroubleBox trouble={state.trouble} />}</main>;
    case "out":
      return <Login why={state.why} />;
    case "in":
      return <Frame user={state.user} isAdmin={state.isAdmin} version={state.version} />;
  }
}

function Frame({ user, isAdmin, version }: Readonly<{ user: string; isAdmin: boolean; version: string }>) {
  const { router, session } = usePage();
  const { path, query } = router.address.value;
  const [view, params] = VIEWS.flatMap((view) => {
    const params = matchPath(view.path, path);
    return params === undefined ? [] : [[view, params] as const];
  })[0] ?? [undefined, {}];
  const main = useRef<HTMLElement>(null);
  const isFirst = useRef(true);
  useEffect(() => {
    document.title = `${view?.title(params) ?? "Not found"} · Nebula`;
    const heading = main.current?.querySelector("h1");
    if (!isFirst.current && heading instanceof HTMLElement) heading.focus({ preventScroll: true }); // a screen reader reads out where one is
    isFirst.current = false;
  }, [path]);
  return (
    <>
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <header class="top">
        <a class="brand" href="/ui/">
          <svg width="22" height="22" viewBox="0 0 32 32" aria-hidden="true">
            <g fill="none" stroke="currentColor" stroke-width="2.6" stroke-linecap="round">
              <circle cx="16" cy="16" r="4.4" fill="currentColor" stroke="none" />
              <path d="M6.5 20.5C3.6 12 12 5.2 19.5 6.6M25.5 11.5C28.4 20 20 26.8 12.5 25.4" />
            </g>
          </svg>
          Nebula
        </a>
        <nav class="views" aria-label="Views">
          {VIEWS.filter(({ navigation, isForAdmins = false }) => navigation !== undefined && (isAdmin || !isForAdmins)).map((one) => (
            <a key={one.path} href={one.path} aria-current={one === view ? "page" : undefined}>
              {one.navigation}
            </a>
          ))}
        </nav>
        <div class="who">
          {user !== "" && (
            <a class="who-name" href={ACCOUNT_PATH} title={`${printableLine(user)}: your sessions`}>
              {printableLine(user)}
            </a>
          )}
          <button type="button" class="quiet" onClick={() => router.mayLeave() && void session.logout()}>
            Log out
          </button>
        </div>
      </header>
      <Unreachable />
      <main id="main" class="main" ref={main} tabIndex={-1}>
        {view === undefined ? <NotFound /> : <view.body key={view.path} params={params} query={query} />}
      </main>
      <Foot version={version} />
    </>
  );
}

const KEYS: readonly Readonly<{ keys: string; does: string }>[] = [
  { keys: "Tab, Shift+Tab", does: "the next link, field or button, and the one before" },
  { keys: "Enter", does: "follows a link" },
  { keys: "Up, Down", does: "in a table: the row above, and below" },
  { keys: "Page Up, Page Down", does: "in a table: a screen up, and down" },
  { keys: "Home, End", does: "in a table: its first row, and the last one that was read" },
  { keys: "Control+Enter", does: "in the editor of an app: plans the draft" },
  { keys: "Escape", does: "closes a dialog" },
];

function Foot({ version }: Readonly<{ version: string }>) {
  const [isOpen, setOpen] = useState(false);
  return (
    <footer class="foot">
      <span>Nebula {version}</span>
      <button type="button" class="quiet" onClick={() => setOpen(true)}>
        Keyboard
      </button>
      {isOpen && (
        <Dialog title="Keyboard" close={() => setOpen(false)}>
          <dl class="keys">
            {KEYS.map(({ keys, does }) => (
              <div key={keys}>
                <dt>{keys}</dt>
                <dd>{does}</dd>
              </div>
            ))}
          </dl>
          <button type="button" onClick={() => setOpen(false)}>
            Close
          </button>
        </Dialog>
      )}
    </footer>
  );
}

/** Says that the server does not answer, and how old all that is shown is. */
function Unreachable() {
  const { live, now } = usePage();
  const pulse = live.pulse.value;
  if (pulse?.trouble?.kind !== "unreachable") return null;
  return (
    <div class="unreachable">
      {/* the age is outside: a screen reader would speak it each second */}
      <span role="alert">The server does not answer.</span> Everything here is as of <span class="number">{formatAge(now.value - pulse.asOfMs)}</span>{" "}
      ago; it is tried again by itself.
    </div>
  );
}

function NotFound() {
  return (
    <>
      <h1 tabIndex={-1}>There is no such view</h1>
      <p>
        <a href="/ui/">Go to the overview</a>
      </p>
    </>
  );
}

function Login({ why }: Readonly<{ why: string }>) {
  const { session } = usePage();
  const [refusal, setRefusal] = useState("");
  const [isSent, setSent] = useState(false);
  useEffect(() => {
    document.title = "Log in · Nebula";
  }, []);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    if (!(event.currentTarget instanceof HTMLFormElement)) return;
    const form = new FormData(event.currentTarget);
    setSent(true);
    setRefusal(await session.login(String(form.get("user")), String(form.get("password"))));
    setSent(false);
  };
  return (
    <main class="alone">
      <form class="login" onSubmit={submit}>
        <h1>Nebula</h1>
        {why !== "" && <p role="status">{why}</p>}
        <label>
          <span>User</span>
          <input name="user" autocomplete="username" required autofocus autocapitalize="none" spellcheck={false} />
        </label>
        <label>
          <span>Password</span>
          <input name="password" type="password" autocomplete="current-password" required />
        </label>
        {refusal !== "" && (
          <p class="refusal" role="alert">
            {refusal}
          </p>
        )}
        <button type="submit" disabled={isSent}>
          Log in
        </button>
        <p class="faint">A user of Nebula, as in nebulactl login. A server that was started the first time says where its password is.</p>
      </form>
    </main>
  );
}

import { usePage } from "../../parts/page-context.ts";
import { ViewTitle } from "../../parts/values.tsx";
import type { View } from "../../view.ts";
import { SessionList } from "../users/session-list.tsx";

export const ACCOUNT_PATH = "/ui/account";

/** The user of this browser, and where else it is logged in. */
export const accountView: View = { path: ACCOUNT_PATH, title: () => "Your sessions", body: () => <Account /> };

function Account() {
  const { session } = usePage();
  const state = session.state.value;
  if (state.kind !== "in") return null;
  return (
    <>
      <ViewTitle kind="You are logged in as" name={state.user} />
      <p class="faint">
        {state.isAdmin
          ? "You may do everything: you are an admin."
          : "You may do what your user groups grant; an admin can tell you which these are."}
      </p>
      <SessionList user={state.user} />
    </>
  );
}

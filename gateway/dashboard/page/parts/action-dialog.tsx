import { Code, ConnectError } from "@connectrpc/connect";
import { useEffect, useState } from "preact/hooks";
import { type Trouble, troubleOf } from "../data/loaded.ts";
import { CommandLine } from "./command-line.tsx";
import { Dialog } from "./dialog.tsx";
import { usePage } from "./page-context.ts";
import { TroubleBox } from "./view-state.tsx";

/** The effects of an action. Only what was shown is done: a change in between is refused by the server. */
export type ActionPlan = Readonly<{
  text: string;
  /** The line of nebulactl that does the same. */
  line: string;
  /** A further choice, in words: another plan is made with it. Absent if there is no choice. */
  choice?: string | undefined;
  /** Does it, and resolves with the text that is shown then. Absent if there is nothing to do. */
  apply?: () => Promise<string>;
}>;

type Props = Readonly<{
  title: string;
  /** Of its button: `Restart`. */
  verb: string;
  /** Whether it removes what does not come back. */
  isDangerous?: boolean;
  /** @param isChosen whether the choice of the plan before was made */
  plan: (signal: AbortSignal, isChosen: boolean) => Promise<ActionPlan>;
  /** Returns to the form that the plan is made of, where there is one. */
  back?: () => void;
  close: () => void;
}>;

type State = Readonly<
  | { kind: "planning" }
  | { kind: "planned"; plan: ActionPlan }
  | { kind: "applying"; plan: ActionPlan }
  | { kind: "done"; text: string }
  /** `isSent`: whether it was asked for, not only its plan. */
  | { kind: "failed"; trouble: Trouble; isSent: boolean }
>;

/** Shows what an action would lead to, and does it when it is confirmed. */
export function ActionDialog({ title, verb, isDangerous = false, plan, back, close }: Props) {
  const { session } = usePage();
  const [state, setState] = useState<State>({ kind: "planning" });
  const [round, setRound] = useState(0);
  const [choice, setChoice] = useState<string | undefined>(undefined); // it stays while the plan with it is made
  const [isChosen, setChosen] = useState(false);
  const fail = (error: unknown, isSent: boolean) => {
    const trouble = troubleOfAction(error);
    if (trouble.kind === "login") session.ended();
    setState({ kind: "failed", trouble, isSent });
  };
  useEffect(() => {
    const ended = new AbortController();
    setState({ kind: "planning" });
    plan(ended.signal, isChosen).then(
      (planned) => {
        if (ended.signal.aborted) return;
        setState({ kind: "planned", plan: planned });
        setChoice(planned.choice);
      },
      (error: unknown) => {
        if (!ended.signal.aborted) fail(error, false);
      },
    );
    return () => ended.abort();
  }, [round, isChosen]);
  const apply = async (planned: ActionPlan) => {
    setState({ kind: "applying", plan: planned });
    try {
      setState({ kind: "done", text: (await planned.apply?.()) ?? "" });
    } catch (error) {
      fail(error, true);
    }
  };
  return (
    <Dialog title={title} close={close} mayClose={state.kind !== "applying"}>
      {state.kind === "planning" && <p role="status">Asking the server what this leads to.</p>}
      {(state.kind === "planned" || state.kind === "applying") && (
        <>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is reached by the keyboard, too */}
          <pre class="plan" tabIndex={0}>
            {state.plan.text}
          </pre>
          <CommandLine line={state.plan.line} />
        </>
      )}
      {state.kind === "done" && <p role="status">{state.text}</p>}
      {state.kind === "failed" && <ActionTrouble trouble={state.trouble} isSent={state.isSent} />}
      {choice !== undefined && state.kind !== "done" && (
        <label class="choice">
          <input
            type="checkbox"
            checked={isChosen}
            disabled={state.kind === "applying"}
            onChange={({ currentTarget }) => {
              setState({ kind: "planning" }); // the plan without it must not be confirmed any more
              setChosen(currentTarget.checked);
            }}
          />
          <span>{choice}</span>
        </label>
      )}
      <div class="actions">
        {(state.kind === "planned" || state.kind === "applying") && state.plan.apply !== undefined && (
          <button type="button" class={isDangerous ? "danger" : ""} disabled={state.kind === "applying"} onClick={() => void apply(state.plan)}>
            {verb}
          </button>
        )}
        {state.kind === "failed" && (
          <button type="button" onClick={() => setRound(round + 1)}>
            Plan again
          </button>
        )}
        {back !== undefined && (state.kind === "planned" || state.kind === "failed") && (
          <button type="button" class="quiet" onClick={back}>
            Back
          </button>
        )}
        <button type="button" class="quiet" disabled={state.kind === "applying"} onClick={close}>
          {state.kind === "done" ? "Close" : "Cancel"}
        </button>
      </div>
    </Dialog>
  );
}

/** Returns why an action was not done. An action is refused where another one was first, which no read is. */
export function troubleOfAction(error: unknown): Trouble {
  if (error instanceof ConnectError && error.code === Code.Aborted) return { kind: "refused", code: "aborted", message: error.rawMessage };
  const trouble = troubleOf(error, reportError);
  return trouble.kind === "refused" && trouble.code === "invalid_argument" ? { ...trouble, code: "invalid_change" } : trouble;
}

/** The same for people. @param isSent whether it was asked for, not only its plan */
export function ActionTrouble({ trouble, isSent }: Readonly<{ trouble: Trouble; isSent: boolean }>) {
  if (trouble.kind !== "unreachable") return <TroubleBox trouble={trouble} />;
  return (
    <div class="notice notice-failed" role="alert">
      <strong>The server did not answer</strong>
      <p>
        {isSent
          ? "Whether it was done is not certain: the plan, or what is shown behind this, says how it stands now."
          : "Nothing was done: only its plan was asked for. Plan again in a moment."}
      </p>
    </div>
  );
}

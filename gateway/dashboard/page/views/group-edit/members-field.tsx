import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { capitalized } from "../../../../../common/text/wording.ts";
import { DialogField } from "../../parts/dialog.tsx";
import { type KnownNames, type MemberKind, type MemberList, withMoved, without, withTyped } from "./group-draft.ts";
import "./members-field.css";

type Props = Readonly<{
  kind: MemberKind;
  list: MemberList;
  /** Undefined: they were not read yet, or cannot be. */
  known: KnownNames | undefined;
  change: (list: MemberList) => void;
}>;

/** Names that a field proposes. */
const PROPOSED = 200;

/** An act on a member, by its button. */
type Act = "up" | "down" | "remove";

/** The element that gets the focus once the list is drawn again: a button of a member, or the field. */
type Focus = Readonly<{ of: Act; name: string } | { of: "field" }>;

/** The button that an act gives the focus, or the one after it where that one is disabled. */
const FOCUSED: Readonly<Record<Act, readonly Act[]>> = { up: ["up", "down"], down: ["down", "up"], remove: ["remove"] };

/** Members of one kind in their order, which the keyboard alone can change. */
export function MembersField({ kind, list, known, change }: Props) {
  const id = useId();
  const frame = useRef<HTMLFieldSetElement>(null);
  const [focus, setFocus] = useState<Focus | undefined>(undefined);
  const [said, setSaid] = useState("");
  const word = kind === "app" ? "app" : "cron_job";
  useLayoutEffect(() => {
    if (focus === undefined) return;
    const wanted = focus.of === "field" ? ["input"] : FOCUSED[focus.of].map((of) => `[data-of="${of}"][data-name="${CSS.escape(focus.name)}"]`);
    for (const selector of wanted) {
      const element = frame.current?.querySelector(selector);
      if (element instanceof HTMLElement && !element.matches(":disabled")) return element.focus();
    }
  }, [focus]);
  const move = (name: string, by: number) => {
    const next = withMoved(list, name, by);
    change(next);
    setFocus({ of: by < 0 ? "up" : "down", name });
    setSaid(`${name} is ${next.names.indexOf(name) + 1} of ${next.names.length}`);
  };
  const remove = (name: string) => {
    const at = list.names.indexOf(name);
    const neighbour = list.names[at + 1] ?? list.names[at - 1];
    change(without(list, name));
    setFocus(neighbour === undefined ? { of: "field" } : { of: "remove", name: neighbour });
    setSaid(`${name} is removed`);
  };
  const add = () => {
    const next = withTyped(list, kind, known);
    change(next);
    setFocus({ of: "field" });
    setSaid(next.names.length > list.names.length ? `${next.names.at(-1)} is added` : "");
  };
  return (
    <fieldset ref={frame}>
      <legend>{kind === "app" ? "Apps, in their order: the first one gets a host port that several claim" : "Cron_jobs"}</legend>
      {list.names.length > 0 && (
        <ol class="members-edit">
          {list.names.map((name, index) => (
            <li key={name}>
              <span class="name">{name}</span>
              <span class="row-actions">
                <MemberButton of="up" name={name} label={`Move ${name} up`} isDisabled={index === 0} act={() => move(name, -1)} />
                <MemberButton
                  of="down"
                  name={name}
                  label={`Move ${name} down`}
                  isDisabled={index === list.names.length - 1}
                  act={() => move(name, 1)}
                />
                <MemberButton of="remove" name={name} label={`Remove ${name}`} act={() => remove(name)} />
              </span>
            </li>
          ))}
        </ol>
      )}
      <DialogField label={`Add ${kind === "app" ? "an app" : "a cron_job"}`} problem={list.problem}>
        {(field) => (
          <>
            <div class="dialog-field-row">
              <input
                {...field}
                type="text"
                list={`${id}-known`}
                value={list.typed}
                autocomplete="off"
                autocapitalize="none"
                spellcheck={false}
                onInput={({ currentTarget }) => change({ ...list, typed: currentTarget.value, problem: "" })}
                onKeyDown={(event) => {
                  if (event.key !== "Enter" || list.typed.trim() === "") return;
                  event.preventDefault(); // Enter adds what is typed; in an empty field it asks for the plan
                  add();
                }}
              />
              <button type="button" class="quiet" aria-label={`Add the ${word}`} onClick={add}>
                Add
              </button>
            </div>
            <datalist id={`${id}-known`}>
              {known?.names
                .filter((name) => !list.names.includes(name))
                .slice(0, PROPOSED)
                .map((name) => (
                  <option key={name} value={name} />
                ))}
            </datalist>
          </>
        )}
      </DialogField>
      <span class="visually-hidden" role="status">
        {said}
      </span>
    </fieldset>
  );
}

type MemberButtonProps = Readonly<{ of: Act; name: string; label: string; isDisabled?: boolean; act: () => void }>;

function MemberButton({ of, name, label, isDisabled = false, act }: MemberButtonProps) {
  return (
    <button type="button" class="quiet" data-of={of} data-name={name} aria-label={label} disabled={isDisabled} onClick={act}>
      {capitalized(of)}
    </button>
  );
}

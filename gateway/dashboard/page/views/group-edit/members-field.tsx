import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
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

/** The element that gets the focus once the list is drawn again: a button of a member, or the field. */
type Focus = Readonly<{ of: "up" | "down" | "remove"; name: string } | { of: "field" }>;

/** Members of one kind in their order, which the keyboard alone can change. */
export function MembersField({ kind, list, known, change }: Props) {
  const id = useId();
  const frame = useRef<HTMLFieldSetElement>(null);
  const [focus, setFocus] = useState<Focus | undefined>(undefined);
  const [said, setSaid] = useState("");
  const word = kind === "app" ? "app" : "cron_job";
  useLayoutEffect(() => {
    if (focus === undefined) return;
    for (const of of focus.of === "up" ? ["up", "down"] : ["down", "up"]) {
      const wanted = focus.of === "field" ? "input" : `[data-of="${focus.of === "remove" ? "remove" : of}"][data-name="${CSS.escape(focus.name)}"]`;
      const element = frame.current?.querySelector(wanted);
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
                <button
                  type="button"
                  class="quiet"
                  data-of="up"
                  data-name={name}
                  aria-label={`Move ${name} up`}
                  disabled={index === 0}
                  onClick={() => move(name, -1)}
                >
                  Up
                </button>
                <button
                  type="button"
                  class="quiet"
                  data-of="down"
                  data-name={name}
                  aria-label={`Move ${name} down`}
                  disabled={index === list.names.length - 1}
                  onClick={() => move(name, 1)}
                >
                  Down
                </button>
                <button type="button" class="quiet" data-of="remove" data-name={name} aria-label={`Remove ${name}`} onClick={() => remove(name)}>
                  Remove
                </button>
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

import type { TargetedEvent } from "preact";
import { useId, useLayoutEffect, useRef } from "preact/hooks";

type Props = Readonly<{
  label: string;
  /** A number is 1 or more. */
  type: "search" | "number";
  /** The text that counts now. */
  value: string;
  /** Gets the text of the field, when it is left or Enter is pressed. */
  commit: (text: string) => void;
}>;

/** A field whose text counts when it is left. Text that is being typed stays when the view is drawn again with newer data. */
export function CommittedField({ label, type, value, commit }: Props) {
  const id = useId();
  const ref = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => {
    if (ref.current !== null) ref.current.value = value;
  }, [value]);
  const onChange = ({ currentTarget }: TargetedEvent<HTMLInputElement>) => {
    const typed = currentTarget.value;
    currentTarget.value = value; // text that is refused counts for nothing
    commit(typed);
  };
  const attributes = { id, ref, defaultValue: value, onChange };
  return (
    <label htmlFor={id}>
      <span>{label}</span>
      {type === "number" ? <input type="number" min="1" {...attributes} /> : <input type="search" {...attributes} />}
    </label>
  );
}

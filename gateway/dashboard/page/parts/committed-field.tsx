import { useLayoutEffect, useRef } from "preact/hooks";

type Props = Readonly<{
  label: string;
  type: "search" | "number";
  /** The text that counts now. */
  value: string;
  /** Gets the text of the field, when it is left or Enter is pressed. */
  commit: (text: string) => void;
  min?: string;
}>;

/** A field whose text counts when it is left. Text that is being typed stays when the view is drawn again with newer data. */
export function CommittedField({ label, value, commit, ...attributes }: Props) {
  const input = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => {
    if (input.current !== null) input.current.value = value;
  }, [value]);
  return (
    <label>
      <span>{label}</span>
      <input
        {...attributes}
        ref={input}
        defaultValue={value}
        onChange={({ currentTarget }) => {
          const typed = currentTarget.value;
          currentTarget.value = value; // text that is refused counts for nothing
          commit(typed);
        }}
      />
    </label>
  );
}

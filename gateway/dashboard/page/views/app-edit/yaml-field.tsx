import { useId, useRef } from "preact/hooks";
import { printableLine } from "../../../../../common/printable.ts";
import { type DraftFault, faultText } from "../../draft/draft.ts";

type Props = Readonly<{ text: string; faults: readonly DraftFault[]; change: (text: string) => void }>;

const FEWEST_ROWS = 16;

/** A draft as YAML, and what is wrong with it, each with a way to its line. */
export function YamlField({ text, faults, change }: Props) {
  const id = useId();
  const ref = useRef<HTMLTextAreaElement>(null);
  const goTo = (line: number) => {
    const start =
      text
        .split("\n")
        .slice(0, line - 1)
        .join("\n").length + (line > 1 ? 1 : 0);
    const end = text.indexOf("\n", start);
    ref.current?.focus();
    ref.current?.setSelectionRange(start, end === -1 ? text.length : end);
  };
  return (
    <div class="stack">
      <label htmlFor={id}>YAML</label>
      <textarea
        id={id}
        ref={ref}
        class="code"
        rows={Math.max(FEWEST_ROWS, text.split("\n").length + 1)}
        spellcheck={false}
        autocapitalize="none"
        wrap="off"
        value={text}
        aria-invalid={faults.length > 0}
        aria-describedby={`${id}-faults`}
        onInput={({ currentTarget }) => change(currentTarget.value)}
      />
      <ul id={`${id}-faults`} class="faults">
        {faults.map((fault, index) => {
          const { line } = fault;
          return (
            <li key={`${index} ${fault.field}`}>
              {line === undefined ? (
                printableLine(faultText(fault))
              ) : (
                <button type="button" class="as-text" onClick={() => goTo(line)}>
                  {printableLine(faultText(fault))}
                </button>
              )}
            </li>
          );
        })}
      </ul>
    </div>
  );
}

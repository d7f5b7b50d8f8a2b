import { useState } from "preact/hooks";
import { printable, printableLine } from "../../../../common/printable.ts";

/** The line of nebulactl that shows, or does, the same; or a command of several lines, each but the last with a backslash at its end. */
export function CommandLine({ line, label = "From a terminal" }: Readonly<{ line: string; label?: string }>) {
  const [note, setNote] = useState("");
  const shown = printable(line);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(shown); // a terminal would obey what is not shown
      setNote("Copied");
    } catch {
      setNote("Select and copy it"); // browsers give the clipboard to pages over TLS alone
    }
    setTimeout(() => setNote(""), 2000);
  };
  return (
    <div class="command">
      {label !== "" && <span class="command-label">{label}</span>}
      <code class="command-text">{shown}</code>
      <button type="button" class="quiet" onClick={copy} aria-label={`Copy: ${printableLine(shown)}`}>
        Copy
      </button>
      <span class="command-note" role="status">
        {note}
      </span>
    </div>
  );
}

import { useState } from "preact/hooks";
import { printableLine } from "../../../../common/printable.ts";

/** The line of nebulactl that shows, or does, the same. */
export function CommandLine({ line, label = "From a terminal" }: Readonly<{ line: string; label?: string }>) {
  const [note, setNote] = useState("");
  const shown = printableLine(line);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(line);
      setNote("Copied");
    } catch {
      setNote("Select and copy it"); // browsers give the clipboard to pages over TLS alone
    }
    setTimeout(() => setNote(""), 2000);
  };
  return (
    <div class="command">
      <span class="command-label">{label}</span>
      <code class="command-text">{shown}</code>
      <button type="button" class="quiet" onClick={copy} aria-label={`Copy: ${shown}`}>
        Copy
      </button>
      <span class="command-note" role="status">
        {note}
      </span>
    </div>
  );
}

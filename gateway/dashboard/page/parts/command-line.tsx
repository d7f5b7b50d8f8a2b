import { useState } from "preact/hooks";

/** The line of nebulactl that shows, or does, the same. */
export function CommandLine({ line, label = "From a terminal" }: Readonly<{ line: string; label?: string }>) {
  const [note, setNote] = useState("");
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
      <code class="command-text">{line}</code>
      <button type="button" class="quiet" onClick={copy} aria-label={`Copy: ${line}`}>
        Copy
      </button>
      <span class="command-note" role="status">
        {note}
      </span>
    </div>
  );
}

import { useState } from "preact/hooks";

/** The line of nebulactl that shows, or does, the same. */
export function CommandLine({ line, label = "From a terminal" }: Readonly<{ line: string; label?: string }>) {
  const [said, setSaid] = useState("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(line);
      setSaid("Copied");
    } catch {
      setSaid("Select and copy it"); // browsers give the clipboard to pages over TLS alone
    }
    setTimeout(() => setSaid(""), 2000);
  };
  return (
    <div class="command">
      <span class="command-label">{label}</span>
      <code class="command-text">{line}</code>
      <button type="button" class="quiet" onClick={copy} aria-label={`Copy: ${line}`}>
        Copy
      </button>
      <span class="command-said" role="status">
        {said}
      </span>
    </div>
  );
}

import type { ComponentChildren } from "preact";
import { printableLine } from "../../../../../common/printable.ts";
import { Dialog } from "../../parts/dialog.tsx";
import { Age, exactTime } from "../../parts/values.tsx";
import type { AuditLine, LinkedText } from "./audit-line.ts";

/** One entry of the audit log, whole: a line of the list shows the beginning of it. */
export function EntryDialog({ line, close }: Readonly<{ line: AuditLine; close: () => void }>) {
  const { at, who, from, call, about, revision, outcome, detail, requestId } = line;
  const pairs: readonly (readonly [label: string, value: ComponentChildren])[] = [
    ["When", at === undefined ? "" : exactTime(at)],
    ["Age", <Age key="age" of={at} />],
    ["Who", <bdi key="who">{printableLine(who)}</bdi>],
    ["From", from],
    ["Call", call],
    ["About", about.text === "" ? "" : <Linked key="about" of={about} />],
    ["Revision", revision.text === "" ? "" : <Linked key="revision" of={revision} />],
    ["Outcome", outcome],
    ["Detail", detail === "" ? "" : <bdi key="detail">{detail}</bdi>],
    ["Request id", requestId === "" ? "" : <code key="id">{requestId}</code>],
  ];
  return (
    <Dialog title="Entry of the audit log" close={close}>
      <dl class="pairs spec">
        {pairs
          .filter(([, value]) => value !== "")
          .map(([label, value]) => (
            <div key={label}>
              <dt>{label}</dt>
              <dd>{value}</dd>
            </div>
          ))}
      </dl>
      <div class="actions">
        <button type="button" class="quiet" onClick={close}>
          Close
        </button>
      </div>
    </Dialog>
  );
}

/** A text, as a link where what it names is shown. */
export function Linked({ of: { text, to } }: Readonly<{ of: LinkedText }>) {
  return to === undefined ? (
    <bdi>{text}</bdi>
  ) : (
    <a href={to}>
      <bdi>{text}</bdi>
    </a>
  );
}

import { CODE_NAMES } from "../../../../../common/errors/codes.ts";
import { AUDIT_KINDS } from "../../../../../common/insight/text/access-text.ts";
import type { AuditFilter } from "../../addresses/audit-filter.ts";
import { CommittedField } from "../../parts/committed-field.tsx";

type Props = Readonly<{ filter: AuditFilter; change: (filter: AuditFilter) => void }>;

/** The fields of the filter of the audit log. */
export function AuditFilters({ filter, change }: Props) {
  const text = (label: string, name: "user" | "name" | "since" | "until") => (
    <CommittedField
      label={label}
      type="search"
      value={filter[name] ?? ""}
      commit={(typed) => change({ ...filter, [name]: typed.trim() || undefined })}
    />
  );
  const choice = (label: string, name: "kind" | "outcome", words: readonly string[]) => {
    const chosen = filter[name];
    const offered = chosen === undefined || words.includes(chosen) ? words : [...words, chosen];
    return (
      <label>
        <span>{label}</span>
        <select value={chosen ?? ""} onChange={({ currentTarget }) => change({ ...filter, [name]: currentTarget.value || undefined })}>
          <option value="">any</option>
          {offered.map((word) => (
            <option key={word} value={word}>
              {word}
            </option>
          ))}
        </select>
      </label>
    );
  };
  return (
    <search>
      <form class="filters" aria-label="Filter of the audit log" onSubmit={(event) => event.preventDefault()}>
        {text("Who", "user")}
        {choice("Kind", "kind", AUDIT_KINDS)}
        {text("Name", "name")}
        {choice("Outcome", "outcome", CODE_NAMES)}
        {text("Since (2h, or a time)", "since")}
        {text("Until (1h, or a time)", "until")}
      </form>
    </search>
  );
}

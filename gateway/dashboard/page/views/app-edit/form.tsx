import type { ComponentChildren } from "preact";
import { useId, useMemo } from "preact/hooks";
import { printableLine } from "../../../../../common/printable.ts";
import { type AppForm, hiddenFields, setFields, shownFields } from "../../draft/app-form.ts";
import { type Draft, type DraftFault, faultsOf, faultText } from "../../draft/draft.ts";
import { type FormField, ON, SECTIONS } from "../../draft/form-fields.ts";
import { Variables } from "./variables.tsx";

type FormDraft = Draft & { view: "form" };
type Props = Readonly<{ draft: FormDraft; isNew: boolean; faults: readonly DraftFault[]; change: (draft: FormDraft) => void }>;

/** A draft as a form. */
export function AppFormFields({ draft, isNew, faults, change }: Props) {
  const { form, base } = draft;
  const changeForm = (changed: Partial<AppForm>) => change({ ...draft, form: { ...form, ...changed } });
  const type = (name: string, text: string) => changeForm({ texts: { ...form.texts, [name]: text } });
  const fields = shownFields(form.texts);
  const set = useMemo(() => setFields(base), [base]);
  const hidden = hiddenFields(set, form.texts);
  const names = ["name", ...fields.map(({ name }) => name)];
  const [first, ...others] = SECTIONS;
  const field = (one: FieldProps["field"]) => (
    <Field
      key={one.name}
      field={one}
      text={form.texts[one.name] ?? ""}
      faults={faultsOf(faults, one.name, names)}
      type={(text) => type(one.name, text)}
    />
  );
  const section = (title: string, more: ComponentChildren) => (
    <fieldset key={title} class="form-section">
      <legend>{title}</legend>
      {more}
      {fields.filter((one) => one.section === title).map(field)}
    </fieldset>
  );
  return (
    <div class="form">
      {section(first, isNew && field(NAME_FIELD))}
      {section("Environment", <Variables variables={form.variables} faults={faults} change={(variables) => changeForm({ variables })} />)}
      {others.map((title) => section(title, null))}
      {hidden.length > 0 && (
        <p class="faint">
          Kept as they are, and edited as YAML: <span>{printableLine(hidden.join(", "))}</span>
        </p>
      )}
    </div>
  );
}

const NAME_FIELD = {
  name: "name",
  label: "Name",
  hint: "A letter or digit, then up to 62 of letters, digits, '_', '.', '-'.",
  control: { kind: "text" },
} as const;

type FieldProps = Readonly<{
  field: Pick<FormField, "name" | "label" | "hint" | "control">;
  text: string;
  faults: readonly DraftFault[];
  type: (text: string) => void;
}>;

function Field({ field: { name, label, hint, control }, text, faults, type }: FieldProps) {
  const id = useId();
  const attributes = { id, name, "aria-invalid": faults.length > 0, "aria-describedby": `${id}-about` };
  const about = (
    <div id={`${id}-about`} class="about">
      {hint !== undefined && <span class="faint">{hint}</span>}
      {faults.map((fault, index) => (
        <span key={`${index} ${fault.field}`} class="refusal">
          {printableLine(faultText(fault))}
        </span>
      ))}
    </div>
  );
  if (control.kind === "switch") {
    return (
      <div class="form-field">
        <label class="form-switch" htmlFor={id}>
          <input type="checkbox" checked={text === ON} onChange={({ currentTarget }) => type(currentTarget.checked ? ON : "")} {...attributes} />
          <span>{label}</span>
        </label>
        {about}
      </div>
    );
  }
  return (
    <div class={`form-field ${control.kind === "lines" ? "form-wide" : ""}`}>
      <label htmlFor={id}>{label}</label>
      {input()}
      {about}
    </div>
  );

  function input(): ComponentChildren {
    switch (control.kind) {
      case "lines":
        return (
          <textarea
            class="code"
            rows={Math.max(2, text.split("\n").length)}
            spellcheck={false}
            autocapitalize="none"
            value={text}
            onInput={({ currentTarget }) => type(currentTarget.value)}
            {...attributes}
          />
        );
      case "choice":
        return (
          <select value={text} onChange={({ currentTarget }) => type(currentTarget.value)} {...attributes}>
            {control.choices.map(([value, word]) => (
              <option key={value} value={value}>
                {word}
              </option>
            ))}
          </select>
        );
      default:
        return (
          <input
            type="text"
            inputMode={control.kind === "number" ? "numeric" : undefined}
            autocomplete="off"
            autocapitalize="none"
            spellcheck={false}
            value={text}
            onInput={({ currentTarget }) => type(currentTarget.value)}
            {...attributes}
          />
        );
    }
  }
}

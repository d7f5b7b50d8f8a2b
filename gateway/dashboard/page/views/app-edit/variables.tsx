import { useId, useLayoutEffect, useRef } from "preact/hooks";
import { printableLine } from "../../../../../common/printable.ts";
import { isDisplay } from "../../../../../common/secrets/sealed-text.ts";
import { type Variable, variablePath, withSecrecy } from "../../draft/app-form.ts";
import { type DraftFault, faultText } from "../../draft/draft.ts";

type Props = Readonly<{ variables: readonly Variable[]; faults: readonly DraftFault[]; change: (variables: readonly Variable[]) => void }>;

/** The environment variables, a row each. The value of a secret is not known: what stands for it keeps it. */
export function Variables({ variables, faults, change }: Props) {
  const id = useId();
  const rows = useRef<HTMLDivElement>(null);
  const added = useRef(false);
  useLayoutEffect(() => {
    if (!added.current) return;
    added.current = false;
    const names = rows.current?.querySelectorAll("input[type=text]");
    const last = names?.item(names.length - 1);
    if (last instanceof HTMLElement) last.focus();
  }, [variables.length]);
  const replace = (at: number, variable: Variable) => change(variables.map((other, index) => (index === at ? variable : other)));
  return (
    <div class="stack" ref={rows}>
      {variables.map((variable, index) => {
        const { name, value, isSecret } = variable;
        const called = name.trim() === "" ? `variable ${index + 1}` : printableLine(name);
        const own = faults.filter(({ field }) => field === variablePath(variable));
        const about = own.length === 0 ? {} : { "aria-invalid": true, "aria-describedby": `${id}-${index}` };
        return (
          <div class="variable" key={index}>
            <input
              type="text"
              class="code"
              aria-label={`Name of variable ${index + 1}`}
              placeholder="NAME"
              autocomplete="off"
              autocapitalize="none"
              spellcheck={false}
              value={name}
              onInput={({ currentTarget }) => replace(index, { ...variable, name: currentTarget.value })}
              {...about}
            />
            <textarea
              class={isSecret && !isDisplay(value) ? "code masked" : "code"}
              aria-label={`Value of ${called}`}
              rows={isSecret ? 1 : Math.min(8, value.split("\n").length)}
              autocomplete="off"
              autocapitalize="none"
              spellcheck={false}
              value={value}
              onFocus={({ currentTarget }) => isDisplay(value) && currentTarget.select()}
              onInput={({ currentTarget }) => replace(index, { ...variable, value: currentTarget.value })}
              {...about}
            />
            <label class="form-switch">
              <input
                type="checkbox"
                aria-label={`${called} is secret`}
                checked={isSecret}
                onChange={({ currentTarget }) => replace(index, withSecrecy(variable, currentTarget.checked))}
              />
              <span>secret</span>
            </label>
            <button type="button" class="quiet" aria-label={`Remove ${called}`} onClick={() => change(variables.filter((_, at) => at !== index))}>
              Remove
            </button>
            <div id={`${id}-${index}`} class="about">
              {own.map((fault) => (
                <span key={fault.description} class="refusal">
                  {printableLine(faultText(fault))}
                </span>
              ))}
            </div>
          </div>
        );
      })}
      {variables.some(({ isSecret, value }) => isSecret && isDisplay(value)) && (
        <p class="faint">The value of a secret is never shown: secret:… stands for it, and keeps it. Type another value in its place.</p>
      )}
      <div class="actions">
        <button
          type="button"
          class="quiet"
          onClick={() => {
            added.current = true;
            change([...variables, { name: "", value: "", isSecret: false }]);
          }}
        >
          Add a variable
        </button>
      </div>
    </div>
  );
}

import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";

type Props = Readonly<{
  title: string;
  close: () => void;
  /** False while it has to stay, as while its action is sent. */
  mayClose?: boolean;
  /** Whether it has what was typed: a click beside it does not close it. */
  hasForm?: boolean;
  children: ComponentChildren;
}>;

/** A dialog above the page. Escape, and a click beside it unless it has a form, close it; the focus returns to where it was. */
export function Dialog({ title, close, mayClose = true, hasForm = false, children }: Props) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const before = document.activeElement;
    ref.current?.showModal();
    return () => {
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={ref}
      class="dialog"
      aria-labelledby={id}
      closedby={!mayClose ? "none" : hasForm ? "closerequest" : "any"}
      onCancel={(event) => {
        event.preventDefault();
        if (mayClose) close();
      }}
      onClose={() => {
        // where a browser does not know closedby, a second Escape closes the dialog by itself
        if (mayClose) close();
        else ref.current?.showModal();
      }}
    >
      <div class="dialog-body">
        <h2 id={id}>{title}</h2>
        {children}
      </div>
    </dialog>
  );
}

type FieldAttributes = Readonly<{ id: string; "aria-invalid": boolean; "aria-describedby": string | undefined }>;

type FieldProps = Readonly<{
  label: string;
  /** Shown below it; empty if there is none. */
  problem?: string;
  /** @param field attributes of its input */
  children: (field: FieldAttributes) => ComponentChildren;
}>;

/** A field of the form in a dialog, with its label and what is wrong with its value. */
export function DialogField({ label, problem = "", children }: FieldProps) {
  const id = useId();
  const isWrong = problem !== "";
  return (
    <div class="dialog-field">
      <label htmlFor={id}>{label}</label>
      {children({ id, "aria-invalid": isWrong, "aria-describedby": isWrong ? `${id}-problem` : undefined })}
      {isWrong && (
        <p id={`${id}-problem`} class="dialog-field-problem" role="alert">
          {problem}
        </p>
      )}
    </div>
  );
}

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

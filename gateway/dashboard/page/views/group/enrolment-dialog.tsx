import { createClient } from "@connectrpc/connect";
import { useRef, useState } from "preact/hooks";
import { deviceNeeds, dockerCommand, enrolmentTitle, type ForDevice, workerCommand } from "../../../../../common/insight/text/enrolment-text.ts";
import { printableLine } from "../../../../../common/printable.ts";
import { AccessService, type EnrolmentToken } from "../../../../../gen/nebula/v1/access_pb.ts";
import type { Trouble } from "../../data/loaded.ts";
import { ActionTrouble, troubleOfAction } from "../../parts/action-dialog.tsx";
import { CommandLine } from "../../parts/command-line.tsx";
import { Dialog, DialogField } from "../../parts/dialog.tsx";
import { usePage } from "../../parts/page-context.ts";
import { type EnrolmentForm, enrolLine, enrolmentForm, enrolmentOf, forDevice, isOverTls, UNIT_WORDS, type Unit } from "./enrolment-model.ts";

type Props = Readonly<{
  deviceGroup: string;
  /** Called when a token was made, or may have been. */
  made: () => void;
  close: () => void;
}>;

type State = Readonly<
  { kind: "form"; trouble: Trouble | undefined } | { kind: "sending" } | { kind: "made"; enrolment: EnrolmentToken; token: string; device: ForDevice }
>;

/** Makes an enrolment token, and shows once how a device uses it. */
export function EnrolmentDialog({ deviceGroup, close, made }: Props) {
  const { transport, session } = usePage();
  const [form, setForm] = useState(() => enrolmentForm(location.origin));
  const [state, setState] = useState<State>({ kind: "form", trouble: undefined });
  const [problem, setProblem] = useState<Readonly<{ field: string; text: string }> | undefined>(undefined);
  const frame = useRef<HTMLFormElement>(null);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const enrolment = enrolmentOf(form);
    if (enrolment.kind === "wrong") {
      setProblem({ field: enrolment.field, text: enrolment.problem });
      const wrong = frame.current?.elements.namedItem(enrolment.field);
      if (wrong instanceof HTMLElement) wrong.focus();
      return;
    }
    setProblem(undefined);
    setState({ kind: "sending" });
    try {
      const { uses, expiresInSeconds } = enrolment;
      const { enrolmentToken, token } = await createClient(AccessService, transport).createEnrolmentToken({ deviceGroup, uses, expiresInSeconds });
      if (enrolmentToken === undefined) throw new Error("an answer without the enrolment token");
      const version = session.state.value.kind === "in" ? session.state.value.version : "";
      setState({ kind: "made", enrolment: enrolmentToken, token, device: forDevice(enrolment.device, version) });
    } catch (error) {
      const trouble = troubleOfAction(error);
      if (trouble.kind === "login") session.ended();
      setState({ kind: "form", trouble });
    }
    made();
  };
  const change = (changes: Partial<EnrolmentForm>) => {
    setForm({ ...form, ...changes });
    setProblem(undefined);
  };
  const problemOf = (field: string) => (problem?.field === field ? problem.text : "");
  const numberField = (name: "uses" | "lifetime", label: string) => (
    <DialogField label={label} problem={problemOf(name)}>
      {(field) => (
        <input
          {...field}
          name={name}
          type="text"
          inputMode="numeric"
          value={form[name]}
          onInput={(event) => change({ [name]: event.currentTarget.value })}
        />
      )}
    </DialogField>
  );
  if (state.kind === "made") {
    return (
      <Dialog title={`Enrol devices into ${deviceGroup}`} close={close} mayClose={false}>
        <Made {...state} />
        <div class="actions">
          <button type="button" onClick={close}>
            Done
          </button>
        </div>
      </Dialog>
    );
  }
  return (
    <Dialog title={`Enrol devices into ${deviceGroup}`} close={close} mayClose={state.kind !== "sending"} hasForm={true}>
      <form class="dialog-form" ref={frame} onSubmit={submit} noValidate>
        <p>A machine enrols with a token, and is then a device with a login of its own.</p>
        {numberField("uses", "How many devices may enrol with it")}
        <div class="dialog-field-row">
          {numberField("lifetime", "Valid for")}
          <DialogField label="Unit">
            {(field) => (
              <select {...field} value={form.unit} onChange={(event) => change({ unit: unitOf(event.currentTarget.value) })}>
                {Object.entries(UNIT_WORDS).map(([unit, word]) => (
                  <option key={unit} value={unit}>
                    {word}
                  </option>
                ))}
              </select>
            )}
          </DialogField>
        </div>
        <DialogField label="Address of the server, as devices reach it" problem={problemOf("server")}>
          {(field) => (
            <input
              {...field}
              name="server"
              type="text"
              inputMode="url"
              autocomplete="off"
              autocapitalize="none"
              spellcheck={false}
              value={form.server}
              onInput={(event) => change({ server: event.currentTarget.value })}
            />
          )}
        </DialogField>
        {isOverTls(form) && (
          <label class="choice">
            <input type="checkbox" checked={form.ownCa} onChange={(event) => change({ ownCa: event.currentTarget.checked })} />
            <span>Its certificate is from an authority of your own: devices get a copy of the CA file</span>
          </label>
        )}
        {state.kind === "form" && state.trouble !== undefined && <ActionTrouble trouble={state.trouble} isSent={true} />}
        <CommandLine line={enrolLine(deviceGroup, form, location.origin)} />
        <div class="actions">
          <button type="submit" disabled={state.kind === "sending"}>
            Make the token
          </button>
          <button type="button" class="quiet" disabled={state.kind === "sending"} onClick={close}>
            Cancel
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function unitOf(value: string): Unit {
  return value === "m" || value === "h" ? value : "d";
}

/** The token in the lines that a device takes. Nobody can read it again. */
function Made({ enrolment, token, device }: Readonly<{ enrolment: EnrolmentToken; token: string; device: ForDevice }>) {
  return (
    <div class="dialog-form">
      <p class="notice notice-warning" role="status">
        {printableLine(enrolmentTitle(enrolment))}: copy a line now, the server keeps only the hash of the token.
      </p>
      <p>{printableLine(deviceNeeds(device))}:</p>
      <CommandLine label="" line={dockerCommand(token, device)} />
      <p>Or with the npm package:</p>
      <CommandLine label="" line={workerCommand(token, device)} />
    </div>
  );
}

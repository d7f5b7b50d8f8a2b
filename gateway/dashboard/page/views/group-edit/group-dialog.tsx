import { createClient, type Transport } from "@connectrpc/connect";
import { useEffect, useRef, useState } from "preact/hooks";
import { planText } from "../../../../../common/insight/text/plan-text.ts";
import { AppService } from "../../../../../gen/nebula/v1/app_pb.ts";
import { CronJobService } from "../../../../../gen/nebula/v1/cron_job_pb.ts";
import { type DeviceGroup, DeviceGroupService } from "../../../../../gen/nebula/v1/device_group_pb.ts";
import { PlanService } from "../../../../../gen/nebula/v1/plan_pb.ts";
import { plannedEntity } from "../../data/planned-entity.ts";
import { ActionDialog, type ActionPlan } from "../../parts/action-dialog.tsx";
import { Dialog, DialogField } from "../../parts/dialog.tsx";
import { usePage } from "../../parts/page-context.ts";
import {
  changedMembers,
  draftOf,
  type GroupDraft,
  groupLine,
  type KnownNames,
  type MemberList,
  nameProblem,
  plannedGroup,
  staleText,
  withTyped,
} from "./group-draft.ts";
import { MembersField } from "./members-field.tsx";

type Props = Readonly<{
  /** The device_group as it is when the dialog opens, undefined if one is created. */
  group: DeviceGroup | undefined;
  /** Called when it was written, with its name, while the dialog still shows so. */
  written: (name: string) => void;
  close: () => void;
}>;

/** Creates a device_group, or changes what it runs: a form, then its plan. */
export function GroupDialog({ group, written, close }: Props) {
  const { transport, clock } = usePage();
  const [base] = useState(group); // what is edited does not change while others write
  const [draft, setDraft] = useState(draftOf(base));
  const [isPlanned, setPlanned] = useState(false);
  const known = useKnownNames(transport);
  const title = base === undefined ? "Create a device group" : `Edit what ${base.name} runs`;
  if (isPlanned) {
    const plan = (signal: AbortSignal) => planGroup(transport, { draft, base, now: clock.now(), written }, signal);
    return <ActionDialog title={title} verb={base === undefined ? "Create" : "Apply"} plan={plan} back={() => setPlanned(false)} close={close} />;
  }
  return (
    <GroupForm title={title} draft={draft} isNew={base === undefined} known={known} change={setDraft} plan={() => setPlanned(true)} close={close} />
  );
}

type FormProps = Readonly<{
  title: string;
  draft: GroupDraft;
  isNew: boolean;
  known: Readonly<{ apps: KnownNames | undefined; cronJobs: KnownNames | undefined }>;
  change: (draft: GroupDraft) => void;
  plan: () => void;
  close: () => void;
}>;

function GroupForm({ title, draft, isNew, known, change, plan, close }: FormProps) {
  const nameField = useRef<HTMLInputElement>(null);
  const [problem, setProblem] = useState("");
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const name = draft.name.trim();
    const next = { name, apps: withTyped(draft.apps, "app", known.apps), cronJobs: withTyped(draft.cronJobs, "cron_job", known.cronJobs) };
    const wrong = isNew ? nameProblem(name) : "";
    change(next);
    setProblem(wrong);
    if (wrong !== "") nameField.current?.focus();
    else if (next.apps.problem === "" && next.cronJobs.problem === "") plan();
  };
  const membersChange = (key: "apps" | "cronJobs") => (list: MemberList) => change({ ...draft, [key]: list });
  return (
    <Dialog title={title} close={close} hasForm={true}>
      <form class="dialog-form" onSubmit={submit} noValidate>
        {isNew && (
          <DialogField label="Name" problem={problem}>
            {(field) => (
              <input
                {...field}
                ref={nameField}
                type="text"
                value={draft.name}
                autocomplete="off"
                autocapitalize="none"
                spellcheck={false}
                required
                onInput={({ currentTarget }) => {
                  change({ ...draft, name: currentTarget.value });
                  setProblem("");
                }}
              />
            )}
          </DialogField>
        )}
        <MembersField kind="app" list={draft.apps} known={known.apps} change={membersChange("apps")} />
        <MembersField kind="cron_job" list={draft.cronJobs} known={known.cronJobs} change={membersChange("cronJobs")} />
        <div class="actions">
          <button type="submit">Show the plan</button>
          <button type="button" class="quiet" onClick={close}>
            Cancel
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** Names of one page of a list; where there are more, a name that is not among them may still exist. */
const PAGE_SIZE = 1000;

/** The apps and cron_jobs that the caller may see, read once. Where they cannot be read the plan says whether a name exists. */
function useKnownNames(transport: Transport): FormProps["known"] {
  const [known, setKnown] = useState<FormProps["known"]>({ apps: undefined, cronJobs: undefined });
  useEffect(() => {
    const ended = new AbortController();
    const { signal } = ended;
    const page = { pageSize: PAGE_SIZE };
    const take = (key: "apps" | "cronJobs", items: readonly Readonly<{ name: string }>[], nextPageToken: string) =>
      setKnown((before) => ({ ...before, [key]: { names: items.map(({ name }) => name), isComplete: nextPageToken === "" } }));
    const ignore = () => {}; // nothing is proposed then
    createClient(AppService, transport)
      .listApps(page, { signal })
      .then(({ apps, nextPageToken }) => take("apps", apps, nextPageToken), ignore);
    createClient(CronJobService, transport)
      .listCronJobs(page, { signal })
      .then(({ cronJobs, nextPageToken }) => take("cronJobs", cronJobs, nextPageToken), ignore);
    return () => ended.abort();
  }, []);
  return known;
}

type Planned = Readonly<{ draft: GroupDraft; base: DeviceGroup | undefined; now: number; written: (name: string) => void }>;

async function planGroup(transport: Transport, { draft, base, now, written }: Planned, signal: AbortSignal): Promise<ActionPlan> {
  const value = plannedGroup(draft, base);
  const plan = await createClient(PlanService, transport).plan({ changes: [{ change: { case: "deviceGroup", value } }] }, { signal });
  const line = groupLine(draft, base);
  const stale = staleText(plan, draft.name, base);
  if (stale !== undefined) return { text: stale, line };
  const text = planText(plan, now);
  if (!plan.changesAnything) return { text, line };
  if (!plannedEntity(plan).mayWrite) return { text: `${text}Your rights do not cover this: it needs rw on the device_group ${draft.name}.\n`, line };
  const groups = createClient(DeviceGroupService, transport);
  const write = () =>
    base === undefined
      ? groups.createDeviceGroup({ deviceGroup: value })
      : groups.updateDeviceGroup({ deviceGroup: value, updateFields: changedMembers(draft, base), ifRevision: base.revision });
  return {
    text,
    line,
    async apply() {
      const { deviceGroup } = await write();
      written(draft.name);
      if (base === undefined) return `Device group ${draft.name} is created, at revision ${deviceGroup?.revision}.`;
      return `${draft.name} is at revision ${deviceGroup?.revision}: its devices follow, and its numbers show how far they are.`;
    },
  };
}

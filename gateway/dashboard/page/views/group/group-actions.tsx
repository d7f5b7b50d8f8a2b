import { createClient, type Transport } from "@connectrpc/connect";
import { useState } from "preact/hooks";
import { planText } from "../../../../../common/insight/text/plan-text.ts";
import { DeviceGroupService, type GetDeviceGroupResponse } from "../../../../../gen/nebula/v1/device_group_pb.ts";
import { PlannedKind, PlannedVerb, PlanService } from "../../../../../gen/nebula/v1/plan_pb.ts";
import { plannedEntity } from "../../data/planned-entity.ts";
import { ActionDialog, type ActionPlan } from "../../parts/action-dialog.tsx";
import { commandLine } from "../../parts/format.ts";
import { usePage } from "../../parts/page-context.ts";
import { LastChange } from "../../parts/values.tsx";
import { GroupDialog } from "../group-edit/group-dialog.tsx";
import { EnrolmentDialog } from "./enrolment-dialog.tsx";
import { deleteLine } from "./group-model.ts";

/** The current action on a device_group. */
export type GroupAction = "enrol" | "edit" | "prune" | "delete";

type HeadProps = Readonly<{ answer: GetDeviceGroupResponse; ask: (action: GroupAction) => void }>;

/** The revision of a device_group, and what may be done with it. */
export function GroupHead({ answer: { deviceGroup, lastChange, mayPrune, mayWrite }, ask }: HeadProps) {
  const button = (action: GroupAction, word: string) => (
    <button type="button" class="quiet" onClick={() => ask(action)}>
      {word}
    </button>
  );
  return (
    <div class="view-head">
      <p class="faint">
        Revision <LastChange revision={deviceGroup?.revision} change={lastChange} />
      </p>
      {(mayPrune || mayWrite) && (
        <div class="actions">
          {mayWrite && button("enrol", "Enrol devices")}
          {mayWrite && button("edit", "Edit what it runs")}
          {mayPrune && button("prune", "Prune")}
          {mayWrite && button("delete", "Delete")}
        </div>
      )}
    </div>
  );
}

const PRUNE_TEXT = "Each device of the group removes, once, the images that none of its containers uses.";

type ConfirmationProps = Readonly<{
  name: string;
  action: GroupAction;
  answer: GetDeviceGroupResponse | undefined;
  changed: () => void;
  close: () => void;
}>;

/** The dialog of an action. @param answer undefined if the device_group cannot be read any more, as after its delete */
export function GroupConfirmation({ name, action, answer, changed, close }: ConfirmationProps) {
  const { transport, clock } = usePage();
  const [opened] = useState(answer);
  switch (action) {
    case "enrol":
      return <EnrolmentDialog deviceGroup={name} made={changed} close={close} />;
    case "edit":
      return <GroupDialog group={opened?.deviceGroup} written={changed} close={close} />;
    case "prune":
      return <ActionDialog title={`Prune ${name}`} verb="Prune" plan={async () => pruneOf(transport, name, changed)} close={close} />;
    case "delete": {
      const plan = (signal: AbortSignal) => planDelete(transport, { name, now: clock.now(), changed }, signal);
      return <ActionDialog title={`Delete ${name}`} verb="Delete" isDangerous={true} plan={plan} close={close} />;
    }
  }
}

function pruneOf(transport: Transport, name: string, changed: () => void): ActionPlan {
  return {
    text: PRUNE_TEXT,
    line: commandLine(["nebulactl", "device-groups", "prune", name]),
    async apply() {
      const { deviceGroup } = await createClient(DeviceGroupService, transport).prune({ name });
      changed();
      return `Revision ${deviceGroup?.revision}: each device removes its unused images when it gets this.`;
    },
  };
}

type Planned = Readonly<{ name: string; now: number; changed: () => void }>;

async function planDelete(transport: Transport, { name, now, changed }: Planned, signal: AbortSignal): Promise<ActionPlan> {
  const value = { kind: PlannedKind.DEVICE_GROUP, name, verb: PlannedVerb.DELETE };
  const plan = await createClient(PlanService, transport).plan({ changes: [{ change: { case: "action", value } }] }, { signal });
  const ifRevision = plannedEntity(plan).revisionBefore;
  return {
    text: `${planText(plan, now)}Its devices keep what they run until they are moved to another group.\n`,
    line: deleteLine(name, ifRevision),
    async apply() {
      const { revision } = await createClient(DeviceGroupService, transport).deleteDeviceGroup({ name, ifRevision });
      changed();
      return `${name} is deleted, as revision ${revision}. Its history stays, and brings it back.`;
    },
  };
}

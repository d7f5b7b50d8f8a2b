import type { Clock } from "../../common/clock/clock.ts";
import { assertNoViolations, NebulaError, type Violation } from "../../common/errors/nebula-error.ts";
import type { AccessStore } from "../../common/storage/access-store.ts";
import type { ReportStore } from "../../common/storage/report-store.ts";
import { noSuch } from "../../common/text/no-such.ts";
import { shown } from "../../common/text/wording.ts";
import { deviceIdViolations, validateName } from "../../common/validation/names.ts";
import { TargetKind } from "../../gen/nebula/v1/device_pb.ts";
import type { ExplainRequest, ExplainService } from "../../gen/nebula/v1/explain_pb.ts";
import type { Principal } from "../access/principal.ts";
import { assertPermitted, isPermitted } from "../access/rights/permit.ts";
import { groupKey } from "../access/rights/rights.ts";
import { type ExplainStores, readExplanation, readGroup, type TargetKey, targetKeys } from "../insight/explain-reads.ts";
import type { DeviceConnections } from "../insight/presence/device-connections.ts";
import type { ServiceHandlers } from "../rpc/call-context.ts";

export type ExplainServiceDeps = ExplainStores &
  Readonly<{
    reportStore: Pick<ReportStore, "getDevice" | "listReports">;
    accessStore: Pick<AccessStore, "deviceToken">;
    deviceConnections: Pick<DeviceConnections, "withConnections" | "withoutReport">;
    clock: Pick<Clock, "now">;
  }>;

/** ExplainService: why a device is not, or is, as wanted. */
export function createExplainServiceHandlers(deps: ExplainServiceDeps): ServiceHandlers<typeof ExplainService> {
  const { reportStore, accessStore, configStore, deviceConnections, clock } = deps;

  /** A device that the caller may see: one that reported, or connected, or that has a token. */
  async function visibleDevice(deviceId: string, principal: Principal, signal: AbortSignal) {
    const reported = await reportStore.getDevice(deviceId, signal);
    const connected =
      reported === undefined
        ? [await deviceConnections.withoutReport(deviceId, signal)]
        : await deviceConnections.withConnections([reported], signal);
    const [device] = connected;
    const deviceGroup = device?.deviceGroup ?? (await accessStore.deviceToken(deviceId, signal))?.deviceGroup;
    if (deviceGroup === undefined || !isPermitted(principal, { kind: "read", entity: groupKey(deviceGroup) }, false)) throw unknownDevice(deviceId);
    return { device, deviceGroup };
  }

  /** The one app or cron_job of that name: first among those of the device, then among all. Throws `not_found`, `permission_denied` or `invalid_argument`. */
  async function namedTarget(
    { kind, name, deviceId }: ExplainRequest,
    ofDevice: readonly (TargetKey & { inGroup: boolean })[],
    principal: Principal,
    signal: AbortSignal,
  ) {
    const candidates: readonly TargetKey[] = kindsOf(kind).map((one) => ({ kind: one, name }));
    const readable = candidates.filter((entity) => isPermitted(principal, { kind: "read", entity }, false));
    const [first] = candidates;
    if (readable.length === 0 && first !== undefined) assertPermitted(principal, { kind: "read", entity: first }, false);
    const own = ofDevice.filter((target) => readable.some((key) => key.kind === target.kind && key.name === target.name));
    const found = own.length > 0 ? own : await existing(readable, signal);
    const [target, other] = found;
    if (target === undefined) throw noSuch(kindsOf(kind).join(" or "), name, `use a name that the device_group of device ${shown(deviceId)} lists`);
    if (other !== undefined) {
      throw new NebulaError("invalid_argument", `invalid name "${name}": an app and a cron_job have it; use app/${name} or cron_job/${name}`);
    }
    return target;
  }

  async function existing(keys: readonly TargetKey[], signal: AbortSignal) {
    const stored = await Promise.all(keys.map((key) => configStore.get(key, { signal })));
    const isKnown = keys.filter((_, index) => stored[index] !== undefined);
    const alive = keys.filter((_, index) => stored[index]?.deleted === false);
    return (alive.length > 0 ? alive : isKnown).map((key) => ({ ...key, inGroup: false }));
  }

  return {
    async explain(request, { principal, signal }) {
      const { deviceId, name } = request;
      const violations = violationsOf(request);
      assertNoViolations(violations);
      const { device, deviceGroup } = await visibleDevice(deviceId, principal, signal);
      const mayRead = (entity: TargetKey) => isPermitted(principal, { kind: "read", entity }, false);
      const facts = await readGroup(deps, deviceGroup, mayRead, signal);
      const all = targetKeys(facts, device?.report);
      const targets = name === "" ? all.filter(mayRead) : [await namedTarget(request, all, principal, signal)];
      const hiddenTargets = name === "" ? all.length - targets.length : 0;
      const about = { deviceId, deviceGroup, facts, device, connection: device?.connection, targets, hiddenTargets, now: clock.now() };
      return { explanation: await readExplanation(deps, about, signal) };
    },
  };
}

function kindsOf(kind: TargetKind): readonly TargetKey["kind"][] {
  if (kind === TargetKind.APP) return ["app"];
  return kind === TargetKind.CRON_JOB ? ["cron_job"] : ["app", "cron_job"];
}

function violationsOf({ deviceId, kind, name }: ExplainRequest): Violation[] {
  const isKnown = kind === TargetKind.UNSPECIFIED || kind === TargetKind.APP || kind === TargetKind.CRON_JOB;
  const wrongKind = { field: "kind", description: `invalid kind "${kind}"; use TARGET_KIND_APP, TARGET_KIND_CRON_JOB or none` };
  const missing = { field: "name", description: "is missing; give the name of an app or cron_job, or no kind for all" };
  return [
    ...deviceIdViolations(deviceId, "device_id"),
    ...(isKnown ? [] : [wrongKind]),
    ...(name === "" ? (kind === TargetKind.UNSPECIFIED ? [] : [missing]) : validateName(name, "name")),
  ];
}

function unknownDevice(deviceId: string): NebulaError {
  return noSuch("device", deviceId, "it never connected or reported, and has no token; the list of devices has those that did");
}

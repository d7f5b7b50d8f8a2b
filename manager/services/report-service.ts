import { create } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { ReportBus } from "../../common/bus/report-bus.ts";
import { encodeRecord, recordOf, reportsIn } from "../../common/bus/report-record.ts";
import type { Clock } from "../../common/clock/clock.ts";
import { assertNoViolations, isNebulaError, messageOf, NebulaError, type Violation } from "../../common/errors/nebula-error.ts";
import type { Log } from "../../common/log/log.ts";
import { receivedBytes } from "../../common/rpc/service-definition.ts";
import type { ReportFilter, ReportStore } from "../../common/storage/report-store.ts";
import { quote, shown } from "../../common/text/wording.ts";
import { timestampViolations, validateReport } from "../../common/validation/device-requests.ts";
import { pageOf, validatePage, validateStatusFilter } from "../../common/validation/list-request.ts";
import { reportIdViolations } from "../../common/validation/names.ts";
import {
  type ListReportsRequest,
  type Report,
  ReportSchema,
  type ReportService,
  type StoredReport,
  type SubmitReportsRequest,
  TargetState,
} from "../../gen/nebula/v1/report_pb.ts";
import type { ReportLimits } from "../access/limits/report-limits.ts";
import { inUseElsewhere, type PresentGroup, type PresentGroups } from "../access/present-groups.ts";
import type { Principal } from "../access/principal.ts";
import { assertPermitted } from "../access/rights/permit.ts";
import { groupKey, mayRead } from "../access/rights/rights.ts";
import { readableBy, type VisiblePages } from "../access/rights/visible-pages.ts";
import type { ServiceHandlers } from "../rpc/call-context.ts";

const MOST_REPORTS = 100;
/** The largest record of the bus, bytes: with its key and framing it stays below the 1 MiB that a bus takes by default. */
const LARGEST_RECORD = 1_000_000;

export type ReportServiceParts = Readonly<{
  reportBus: Pick<ReportBus, "publish">;
  reportStore: Pick<ReportStore, "listReports">;
  presentGroups: PresentGroups;
  reportLimits: ReportLimits;
  visiblePages: VisiblePages;
  clock: Clock;
  log: Log;
}>;

/** ReportService: takes reports onto the bus, and lists the history. */
export function createReportServiceHandlers({
  reportBus,
  reportStore,
  presentGroups,
  reportLimits,
  visiblePages,
  clock,
  log,
}: ReportServiceParts): ServiceHandlers<typeof ReportService> {
  /**
   * A device belongs to the group that it is in: a user takes it to another one only with `ro` there too, and one with a token of its own never. The devices of
   * a call are one.
   */
  function assertMayReport(reports: readonly Report[], deviceId: string, present: PresentGroup | undefined, principal: Principal): void {
    if (principal.kind !== "user" || principal.rights.admin || present === undefined) return;
    const foreign = reports.find(({ deviceGroup }) => deviceGroup !== present.deviceGroup);
    if (foreign === undefined) return;
    if (!mayRead(principal.rights, groupKey(present.deviceGroup))) throw inUseElsewhere(deviceId);
    if (!present.hasToken) return;
    const why = `the device ${shown(deviceId)} has a token of its own, for another device_group than ${foreign.deviceGroup}`;
    const advice = `an operator ends that first (nebulactl devices revoke ${shown(deviceId)})`;
    throw new NebulaError("permission_denied", `${principal.name} may not report this: ${why}; ${advice}`, { audited: true });
  }

  /** Lets the reports of a device in, or rejects; answers whether the device has no token of its own. */
  async function admit(reports: readonly Report[], deviceId: string, principal: Principal, signal: AbortSignal): Promise<boolean> {
    const isItself = principal.kind === "device";
    const present = isItself ? undefined : await presentGroups.of(deviceId, signal);
    assertMayReport(reports, deviceId, present, principal);
    const withoutToken = !isItself && present?.hasToken !== true;
    const group = reports.at(-1)?.deviceGroup;
    reportLimits.assertRate(deviceId, reports.length); // first: a call that is refused takes no room
    if (withoutToken && group !== undefined && group !== present?.deviceGroup) await reportLimits.assertRoom(group);
    return withoutToken;
  }

  return {
    /** Resolves once all reports are safe on the bus. When it rejects some may be there; sent again they change nothing. */
    async submitReports(request, { principal, signal }) {
      const { reports } = request;
      const violations = submissionViolations(reports);
      assertNoViolations(violations);
      const [{ deviceId } = { deviceId: "" }] = reports;
      const withoutToken = await admit(reports, deviceId, principal, signal);
      const receivedAt = timestampFromMs(clock.now());
      const records = recordsOf(request, receivedAt, withoutToken).map((value) => ({ key: deviceId, value }));
      const tooLarge = records.flatMap(sizeViolations);
      assertNoViolations(tooLarge);
      try {
        // Not one after the other: the bus keeps the order in which it was asked, and commits them together.
        await Promise.all(records.map((record) => reportBus.publish(record, signal)));
      } catch (error) {
        if (isNebulaError(error, "unavailable"))
          log.debug({ deviceId: reports[0]?.deviceId, error: messageOf(error) }, "reports were refused by the bus");
        throw error;
      }
      presentGroups.reported(deviceId, reports.at(-1)?.deviceGroup ?? "");
      return {};
    },

    async listReports(request, { principal, signal }) {
      const violations = [
        ...validatePage(request),
        ...validateStatusFilter(request),
        ...timestampViolations(request.receivedFrom, "received_from"),
        ...timestampViolations(request.receivedUntil, "received_until"),
        ...reportIdViolations(request.afterId, "after_id"),
      ];
      assertNoViolations(violations);
      if (request.deviceGroup !== "")
        assertPermitted(principal, { kind: "read", entity: { kind: "device_group", name: request.deviceGroup } }, false);
      const filter = filterOf(request);
      const isVisible = readableBy<StoredReport>(principal, "device_group", ({ report }) => report?.deviceGroup ?? "");
      const { items, next } = await visiblePages((part) => reportStore.listReports(filter, part, signal), pageOf(request), isVisible);
      return { reports: [...items], nextPageToken: next ?? "" };
    },
  };
}

function submissionViolations(reports: readonly Report[]): readonly Violation[] {
  const [first] = reports;
  if (first === undefined) return [{ field: "reports", description: "there is none: send at least one" }];
  if (reports.length > MOST_REPORTS)
    return [{ field: "reports", description: `${reports.length} are too many: at most ${MOST_REPORTS} in one call` }];
  return reports.flatMap((report, index) => {
    const path = `reports[${index}]`;
    // The shard sets received_at; the value of the device does not count.
    const own = report.receivedAt === undefined ? report : create(ReportSchema, { ...report, receivedAt: undefined });
    const violations = validateReport(own, path);
    if (report.deviceId === first.deviceId) return violations;
    const description = `${quote(report.deviceId)} is another device than the first report's: one call takes reports of one device`;
    return [...violations, { field: `${path}.device_id`, description }];
  });
}

/** The records of a request's reports: of the bytes that arrived, where it was received. */
function recordsOf(request: SubmitReportsRequest, receivedAt: Timestamp, withoutToken: boolean): readonly Uint8Array[] {
  const { reports } = request;
  const received = receivedBytes(request);
  const sent = received === undefined ? [] : reportsIn(received);
  return reports.map((report, index) => {
    const bytes = sent[index];
    if (bytes === undefined || sent.length !== reports.length) return encodeRecord(create(ReportSchema, { ...report, receivedAt }), withoutToken);
    return recordOf(bytes, report, receivedAt, withoutToken); // decoded for this call: nobody else has it
  });
}

function sizeViolations({ value }: { value: Uint8Array }, index: number): readonly Violation[] {
  if (value.length <= LARGEST_RECORD) return [];
  return [{ field: `reports[${index}]`, description: `${value.length} bytes encoded are too many: at most ${LARGEST_RECORD}` }];
}

function filterOf({ deviceId, deviceGroup, receivedFrom, receivedUntil, state, afterId }: ListReportsRequest): ReportFilter {
  return {
    ...(deviceId === "" ? {} : { deviceId }),
    ...(deviceGroup === "" ? {} : { deviceGroup }),
    ...(receivedFrom === undefined ? {} : { receivedFromMs: timestampMs(receivedFrom) }),
    ...(receivedUntil === undefined ? {} : { receivedUntilMs: timestampMs(receivedUntil) }),
    ...(state === TargetState.UNSPECIFIED ? {} : { state }),
    ...(afterId === "" ? {} : { afterId: afterId.toLowerCase() }),
  };
}

import { strict as assert } from "node:assert";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { ManualClock } from "../../../common/clock/manual-clock.ts";
import { isNebulaError } from "../../../common/errors/nebula-error.ts";
import { createMemoryFeed } from "../../../common/feed/memory-feed.ts";
import { statusAnnouncements } from "../../../common/insight/status-announcements.ts";
import { silentLog } from "../../../common/log/log.ts";
import { openSqliteAccessStore } from "../../../common/storage/sqlite/access/access-store.ts";
import { openSqliteConfigStore } from "../../../common/storage/sqlite/config-store.ts";
import { openSqliteReportStore } from "../../../common/storage/sqlite/reports/report-store.ts";
import { eventually } from "../../../common/testing/eventually.ts";
import { SAMPLE_TIME_MS, sampleReport } from "../../../common/testing/sample-report.ts";
import { saveReports, statusRow } from "../../../common/testing/save-reports.ts";
import { AppSchema } from "../../../gen/nebula/v1/app_pb.ts";
import { DeviceGroupSchema } from "../../../gen/nebula/v1/device_group_pb.ts";
import {
  CountDevicesRequestSchema,
  DeleteDevicesRequestSchema,
  type DeviceFilterSchema,
  DeviceFilterSchema as Filter,
  WatchDevicesRequestSchema,
} from "../../../gen/nebula/v1/device_pb.ts";
import { ContainerState, FailureCode, type ReportSchema, TargetState } from "../../../gen/nebula/v1/report_pb.ts";
import type { Principal } from "../../access/principal.ts";
import { ADMIN_RIGHTS, NO_RIGHTS, type Rights } from "../../access/rights/rights.ts";
import type { Changed } from "../../audit/call-record.ts";
import { createGroupViews } from "../../insight/group-views.ts";
import { createFleetHandlers } from "./fleet-handlers.ts";

type Fields = Exclude<MessageInitShape<typeof ReportSchema>, { $typeName: string }>;

const admin: Principal = { kind: "user", name: "admin", rights: ADMIN_RIGHTS };
const FAR_MS = 90 * 86_400_000;

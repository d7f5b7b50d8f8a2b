import { strict as assert } from "node:assert";
import type { DescMethod } from "@bufbuild/protobuf";
import { pathOf } from "../../common/rpc/service-definition.ts";
import { Health } from "../../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import { AccessService } from "../../gen/nebula/v1/access_pb.ts";
import { AppService } from "../../gen/nebula/v1/app_pb.ts";
import { ApplyService } from "../../gen/nebula/v1/apply_pb.ts";
import { AuditService } from "../../gen/nebula/v1/audit_pb.ts";
import { ConfigService } from "../../gen/nebula/v1/config_pb.ts";
import { CronJobService } from "../../gen/nebula/v1/cron_job_pb.ts";
import { DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { DeviceService } from "../../gen/nebula/v1/device_pb.ts";
import { DriftService } from "../../gen/nebula/v1/drift_pb.ts";
import { ExplainService } from "../../gen/nebula/v1/explain_pb.ts";
import { FleetService } from "../../gen/nebula/v1/fleet_pb.ts";
import { HistoryService } from "../../gen/nebula/v1/history_pb.ts";
import { PlanService } from "../../gen/nebula/v1/plan_pb.ts";
import { ReportService } from "../../gen/nebula/v1/report_pb.ts";
import { ShardService } from "../../gen/nebula/v1/shard_pb.ts";
import { StatusService } from "../../gen/nebula/v1/status_pb.ts";
import { UserGroupService } from "../../gen/nebula/v1/user_group_pb.ts";
import { UserService } from "../../gen/nebula/v1/user_pb.ts";
import { auditedOf } from "./call-record.ts";

const SERVICES = [
  AppService,
  CronJobService,
  DeviceGroupService,
  HistoryService,
  ConfigService,
  ReportService,
  ApplyService,
  DeviceService,
  DriftService,
  ExplainService,
  FleetService,
  PlanService,
  UserService,
  UserGroupService,
  AccessService,
  AuditService,
  ShardService,
  StatusService,
  Health,
  ServerReflection,
];

describe("the methods whose calls leave an audit entry", () => {
  const methods: readonly DescMethod[] = SERVICES.flatMap((service): readonly DescMethod[] => service.methods);
  const named = (audited: string) =>
    methods.filter((method) => auditedOf(method) === audited).map((method) => pathOf(method).replace("/nebula.v1.", ""));

  it("the audited methods are those that change something", () => {
    assert.deepEqual(named("every_call"), [
      ...["CreateApp", "UpdateApp", "DeleteApp", "StartApp", "StopApp", "RestartApp"].map((name) => `AppService/${name}`),
      ...["CreateCronJob", "UpdateCronJob", "DeleteCronJob"].map((name) => `CronJobService/${name}`),
      ...["CreateDeviceGroup", "UpdateDeviceGroup", "DeleteDeviceGroup", "Prune", "PruneAll"].map((name) => `DeviceGroupService/${name}`),
      "DeviceService/DeleteDevice",
      "DeviceService/DeleteDevices",
      ...["CreateUser", "UpdateUser", "DeleteUser", "RefreshUserToken"].map((name) => `UserService/${name}`),
      ...["CreateUserGroup", "UpdateUserGroup", "DeleteUserGroup"].map((name) => `UserGroupService/${name}`),
      ...["CreateEnrolmentToken", "RevokeEnrolmentToken", "RotateDeviceToken", "RevokeDeviceToken", "CreateSession", "DeleteSession"].map(
        (name) => `AccessService/${name}`,
      ),
    ]);
    assert.deepEqual(named("what_changed"), ["HistoryService/Rollback", "AccessService/EnrollDevice"]);
  });

  it("the audited methods are no reads, no reports of devices, no watches, and nothing of health and reflection", () => {
    const logins = named("logins");
    for (const name of [
      "AppService/GetApp",
      "ReportService/SubmitReports",
      "ConfigService/WatchConfig",
      "ConfigService/WatchAndReport",
      "AuditService/ListAuditEntries",
    ])
      assert.ok(logins.includes(name), name);
    assert.deepEqual(
      logins.filter((name) => /^\w+Service\/(Create|Update|Delete|Start|Stop|Restart|Prune|Revoke|Rotate|Refresh)/.test(name)),
      [],
    );
  });
});

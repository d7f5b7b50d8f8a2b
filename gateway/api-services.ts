import type { DescService } from "@bufbuild/protobuf";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { AccessService } from "../gen/nebula/v1/access_pb.ts";
import { AppService } from "../gen/nebula/v1/app_pb.ts";
import { AuditService } from "../gen/nebula/v1/audit_pb.ts";
import { ConfigService } from "../gen/nebula/v1/config_pb.ts";
import { CronJobService } from "../gen/nebula/v1/cron_job_pb.ts";
import { DeviceGroupService } from "../gen/nebula/v1/device_group_pb.ts";
import { DeviceService } from "../gen/nebula/v1/device_pb.ts";
import { ReportService } from "../gen/nebula/v1/report_pb.ts";
import { ShardService } from "../gen/nebula/v1/shard_pb.ts";
import { StatusService } from "../gen/nebula/v1/status_pb.ts";
import { UserGroupService } from "../gen/nebula/v1/user_group_pb.ts";
import { UserService } from "../gen/nebula/v1/user_pb.ts";

/** Every service that the gateway forwards: all of Nebula's, and the managers' health. */
export const API_SERVICES: readonly DescService[] = [
  AppService,
  CronJobService,
  DeviceGroupService,
  ConfigService,
  ReportService,
  DeviceService,
  ShardService,
  StatusService,
  UserService,
  UserGroupService,
  AccessService,
  AuditService,
  Health,
];

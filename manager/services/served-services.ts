import type { DescService } from "@bufbuild/protobuf";
import type { UntypedHandleCall } from "@grpc/grpc-js";
import type { Clock } from "../../common/clock/clock.ts";
import type { Drivers } from "../../common/drivers.ts";
import type { Log } from "../../common/log/log.ts";
import type { SecretKeys } from "../../common/secrets/secret-keys.ts";
import { VERSION } from "../../common/version.ts";
import { Health } from "../../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { AccessService } from "../../gen/nebula/v1/access_pb.ts";
import { AppService } from "../../gen/nebula/v1/app_pb.ts";
import { AuditService } from "../../gen/nebula/v1/audit_pb.ts";
import { ConfigService } from "../../gen/nebula/v1/config_pb.ts";
import { CronJobService } from "../../gen/nebula/v1/cron_job_pb.ts";
import { DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { DeviceService } from "../../gen/nebula/v1/device_pb.ts";
import { ReportService } from "../../gen/nebula/v1/report_pb.ts";
import { ShardService } from "../../gen/nebula/v1/shard_pb.ts";
import { StatusService } from "../../gen/nebula/v1/status_pb.ts";
import { UserGroupService } from "../../gen/nebula/v1/user_group_pb.ts";
import { UserService } from "../../gen/nebula/v1/user_pb.ts";
import type { Authenticate } from "../access/authenticate.ts";
import type { PresentGroups } from "../access/present-groups.ts";
import { createReportLimits } from "../access/report-limits.ts";
import { ADMIN_RIGHTS } from "../access/rights.ts";
import type { StoredCredentials } from "../access/stored-credentials.ts";
import type { VisiblePages } from "../access/visible-pages.ts";
import type { ServedService } from "../rpc/grpc-server.ts";
import { type AnyUnaryHandler, type RpcDeps, serveUnary } from "../rpc/serve-unary.ts";
import type { Ownership } from "../watch/ownership.ts";
import { createAccessCheck } from "./access-check.ts";
import { createAccessServiceHandlers } from "./access-service.ts";
import { createAppServiceHandlers } from "./app-service.ts";
import { createAuditServiceHandlers } from "./audit-service.ts";
import { createConfigServiceHandlers } from "./config-service.ts";
import { createCronJobServiceHandlers } from "./cron-job-service.ts";
import { createDeviceGroupServiceHandlers } from "./device-group-service.ts";
import { createDeviceServiceHandlers } from "./device-service.ts";
import { HealthService } from "./health-service.ts";
import { ReflectionIndex } from "./reflection-index.ts";
import { serveReflection } from "./reflection-service.ts";
import { createReportServiceHandlers } from "./report-service.ts";
import { createShardServiceHandlers } from "./shard-service.ts";
import { createStatusServiceHandlers } from "./status-service.ts";
import { createUserGroupServiceHandlers } from "./user-group-service.ts";
import { createUserServiceHandlers } from "./user-service.ts";

export type ServedServicesDeps = Readonly<{
  drivers: Drivers;
  ownership: Ownership;
  rpc: RpcDeps;
  authenticate: Authenticate;
  stored: Pick<StoredCredentials, "rightsOfUser">;
  presentGroups: PresentGroups;
  /** NEBULA_MAX_DEVICES_PER_GROUP */
  mostDevices: number;
  visiblePages: VisiblePages;
  secretKeys: SecretKeys;
  /** The name of the configuration's admin. */
  localAdmin: string;
  clock: Clock;
  log: Log;
  /** Open watches now. */
  watches: () => number;
  /** Whether workers of the original poll a device_group. */
  isPolled: (deviceGroup: string) => boolean;
}>;

/** Everything that the manager serves. */
export function createServedServices({
  drivers,
  ownership,
  rpc,
  authenticate,
  stored,
  presentGroups,
  mostDevices,
  visiblePages,
  secretKeys,
  localAdmin,
  clock,
  log,
  watches,
  isPolled,
}: ServedServicesDeps): {
  services: readonly ServedService[];
  health: HealthService;
} {
  const { configStore, configCache, changeFeed, accessStore, reportBus, reportStore } = drivers;
  const entities = { configStore, configCache, changeFeed, secretKeys, visiblePages, isPolled, clock, log };
  const access = { accessStore, changeFeed, clock, log };
  const status = { version: VERSION, cluster: drivers.configStore.cluster, startedAt: clock.now(), watches };
  const unary = (service: DescService, handlers: Readonly<Record<string, AnyUnaryHandler>>): ServedService => ({
    service,
    methods: unaryMethods(service, handlers, rpc),
  });
  const reportLimits = createReportLimits({ reportStore, configStore, mostDevices, clock });
  const nebula = [
    unary(AppService, createAppServiceHandlers(entities)),
    unary(CronJobService, createCronJobServiceHandlers(entities)),
    unary(DeviceGroupService, createDeviceGroupServiceHandlers(entities)),
    unary(ConfigService, createConfigServiceHandlers({ configStore, secretKeys })), // its WatchConfig is taken over before it comes to a handler
    unary(ReportService, createReportServiceHandlers({ visiblePages, presentGroups, reportLimits, reportBus, reportStore, clock, log })),
    unary(DeviceService, createDeviceServiceHandlers({ visiblePages, presentGroups, reportStore, log })),
    unary(
      AccessService,
      createAccessServiceHandlers({
        accessStore,
        configStore,
        changeFeed,
        presentGroups,
        rightsOf: async (user) => (user === localAdmin ? ADMIN_RIGHTS : stored.rightsOfUser(user)),
        visiblePages,
        clock,
        log,
        check: createAccessCheck(authenticate, rpc.audit),
      }),
    ),
    unary(UserService, createUserServiceHandlers({ ...access, localAdmin })),
    unary(UserGroupService, createUserGroupServiceHandlers(access)),
    unary(AuditService, createAuditServiceHandlers(drivers)),
    unary(ShardService, createShardServiceHandlers({ configStore: drivers.configStore, ownership })),
    unary(StatusService, createStatusServiceHandlers(status)),
  ];

  const health = new HealthService(nebula.map(({ service }) => service.typeName));
  const checked = unary(Health, health.handlers);
  const index = new ReflectionIndex([...nebula.map(({ service }) => service), Health, ServerReflection, ServerReflectionAlpha]);
  const reflections = [ServerReflection, ServerReflectionAlpha].map((service) => ({
    service,
    methods: { serverReflectionInfo: serveReflection(service.method.serverReflectionInfo, index, rpc) },
  }));
  return { services: [...nebula, { ...checked, methods: { ...checked.methods, watch: health.watch } }, ...reflections], health };
}

/** The unary methods of a service for grpc-js, by local name. */
function unaryMethods(service: DescService, handlers: Readonly<Record<string, AnyUnaryHandler>>, rpc: RpcDeps): Record<string, UntypedHandleCall> {
  return Object.fromEntries(
    service.methods.flatMap((method) => {
      const handler = handlers[method.localName];
      return method.methodKind !== "unary" || handler === undefined ? [] : [[method.localName, serveUnary(method, handler, rpc)]];
    }),
  );
}

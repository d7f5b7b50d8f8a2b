import type { MessageInitShape } from "@bufbuild/protobuf";
import { credentials } from "@grpc/grpc-js";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { GrpcChannel } from "../../common/rpc/grpc-channel.ts";
import { tlsChannel } from "../../common/rpc/tls-channel.ts";
import { eventually } from "../../common/testing/eventually.ts";
import type { ClientTls } from "../../common/tls/client-tls.ts";
import { type App, type AppSchema, AppService } from "../../gen/nebula/v1/app_pb.ts";
import { PullPolicy } from "../../gen/nebula/v1/container_pb.ts";
import { type CronJob, type CronJobSchema, CronJobService } from "../../gen/nebula/v1/cron_job_pb.ts";
import { type DeviceGroup, DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { type Device, DeviceService } from "../../gen/nebula/v1/device_pb.ts";
import { type AppStatus, type CronJobStatus, ReportService } from "../../gen/nebula/v1/report_pb.ts";
import { type UserGroup, type UserGroupSchema, UserGroupService } from "../../gen/nebula/v1/user_group_pb.ts";
import { UserService } from "../../gen/nebula/v1/user_pb.ts";

/** The image that is on every engine; no registry may be reachable, so it is pulled only by tests that ask for it. */
const LOCAL_IMAGE = "busybox:1";

function policyOf(dockerImage: string | undefined): { pullPolicy?: PullPolicy } {
  return dockerImage === LOCAL_IMAGE ? { pullPolicy: PullPolicy.MISSING } : {};
}

type AppInit = Exclude<MessageInitShape<typeof AppSchema>, App>;
type CronJobInit = Exclude<MessageInitShape<typeof CronJobSchema>, CronJob>;
type Permissions = Omit<Exclude<MessageInitShape<typeof UserGroupSchema>, UserGroup>, "name" | "groupMembers">;

/** A server's gRPC API, as the local admin calls it. */
export class Api implements Disposable {
  readonly channel: GrpcChannel;
  readonly password: string;
  readonly headers: Readonly<Record<string, string>>;

  /** @param tls undefined: clear text */
  constructor(address: string, password: string, tls?: ClientTls) {
    this.password = password;
    const { credentials: way, options } = tls === undefined ? { credentials: credentials.createInsecure(), options: {} } : tlsChannel(address, tls);
    this.channel = new GrpcChannel(address, way, options);
    this.headers = basicLogin("admin", password);
  }

  get #call() {
    return { headers: this.headers, timeoutMs: 20_000 };
  }

  async createApp(app: AppInit): Promise<App> {
    return present((await this.channel.unary(AppService.method.createApp, { app: { ...policyOf(app.dockerImage), ...app } }, this.#call)).app);
  }

  async app(name: string): Promise<App> {
    return present((await this.channel.unary(AppService.method.getApp, { name }, this.#call)).app);
  }

  /** Changes the fields that are given; answers the app as stored. */
  async updateApp(name: string, changes: Omit<AppInit, "name">, more: { redeploy?: boolean; updateFields?: string[] } = {}): Promise<App> {
    const updateFields =
      more.updateFields ??
      Object.keys(changes)
        .filter((field) => field !== "$typeName")
        .map(protoName);
    const request = { app: { ...changes, name }, updateFields, redeploy: more.redeploy ?? false };
    return present((await this.channel.unary(AppService.method.updateApp, request, this.#call)).app);
  }

  async deleteApp(name: string): Promise<bigint> {
    return (await this.channel.unary(AppService.method.deleteApp, { name }, this.#call)).revision;
  }

  async startApp(name: string): Promise<App> {
    return present((await this.channel.unary(AppService.method.startApp, { name }, this.#call)).app);
  }

  async stopApp(name: string): Promise<App> {
    return present((await this.channel.unary(AppService.method.stopApp, { name }, this.#call)).app);
  }

  async restartApp(name: string): Promise<App> {
    return present((await this.channel.unary(AppService.method.restartApp, { name }, this.#call)).app);
  }

  async createCronJob(cronJob: CronJobInit): Promise<CronJob> {
    const request = { cronJob: { ...policyOf(cronJob.dockerImage), ...cronJob } };
    return present((await this.channel.unary(CronJobService.method.createCronJob, request, this.#call)).cronJob);
  }

  async deleteCronJob(name: string): Promise<bigint> {
    return (await this.channel.unary(CronJobService.method.deleteCronJob, { name }, this.#call)).revision;
  }

  async createGroup(name: string, apps: string[], cronJobs: string[] = []): Promise<DeviceGroup> {
    return present(
      (await this.channel.unary(DeviceGroupService.method.createDeviceGroup, { deviceGroup: { name, apps, cronJobs } }, this.#call)).deviceGroup,
    );
  }

  async updateGroup(name: string, apps: string[], cronJobs: string[] = []): Promise<DeviceGroup> {
    const request = { deviceGroup: { name, apps, cronJobs }, updateFields: ["apps", "cron_jobs"] };
    return present((await this.channel.unary(DeviceGroupService.method.updateDeviceGroup, request, this.#call)).deviceGroup);
  }

  async deleteGroup(name: string): Promise<bigint> {
    return (await this.channel.unary(DeviceGroupService.method.deleteDeviceGroup, { name }, this.#call)).revision;
  }

  async prune(name: string): Promise<DeviceGroup> {
    return present((await this.channel.unary(DeviceGroupService.method.prune, { name }, this.#call)).deviceGroup);
  }

  /** Creates a user, and a user_group of the same name that grants it these permissions. Resolves with the headers of its calls. */
  async createUser(name: string, password: string, permissions: Permissions): Promise<Readonly<Record<string, string>>> {
    await this.channel.unary(UserService.method.createUser, { name, password }, this.#call);
    const userGroup = { ...permissions, name, groupMembers: [name] };
    await this.channel.unary(UserGroupService.method.createUserGroup, { userGroup }, this.#call);
    return basicLogin(name, password);
  }

  /** The device's newest status; undefined before its first report. */
  async device(deviceId: string): Promise<Device | undefined> {
    const device = await this.known(deviceId);
    return device?.report === undefined ? undefined : device;
  }

  /** The device, also where it connected and never reported; undefined before that. */
  async known(deviceId: string): Promise<Device | undefined> {
    try {
      return (await this.channel.unary(DeviceService.method.getDevice, { deviceId }, this.#call)).device;
    } catch (error) {
      if (isNebulaError(error, "not_found")) return undefined;
      throw error;
    }
  }

  /** Waits for a device's first report: it is connected, and its engine answers. */
  async reported(deviceId: string, timeoutMs = 30_000): Promise<Device> {
    return eventually(async () => (await this.device(deviceId)) ?? false, { timeoutMs, everyMs: 50 });
  }

  /** Waits until a device's report says this of an app; answers what it says. */
  appStatus(deviceId: string, app: string, holds: (status: AppStatus) => boolean, timeoutMs = 30_000): Promise<AppStatus> {
    return this.#status(deviceId, (device) => device.report?.apps.find(({ name }) => name === app), holds, timeoutMs);
  }

  /** Waits until a device's report says this of a cron_job; answers what it says. */
  cronJobStatus(deviceId: string, cronJob: string, holds: (status: CronJobStatus) => boolean, timeoutMs = 30_000): Promise<CronJobStatus> {
    return this.#status(deviceId, (device) => device.report?.cronJobs.find(({ name }) => name === cronJob), holds, timeoutMs);
  }

  /** Waits until the history of a device has a report with this problem. */
  async reportedProblem(deviceId: string, code: string, timeoutMs = 30_000): Promise<void> {
    await eventually(
      async () => {
        const { reports } = await this.channel.unary(ReportService.method.listReports, { deviceId, pageSize: 1000 }, this.#call);
        return reports.some(({ report }) => report?.problems.some((problem) => problem.code === code));
      },
      { timeoutMs, everyMs: 100 },
    );
  }

  async #status<Status>(
    deviceId: string,
    find: (device: Device) => Status | undefined,
    holds: (status: Status) => boolean,
    timeoutMs: number,
  ): Promise<Status> {
    let last: Status | undefined;
    return eventually(
      async () => {
        const device = await this.device(deviceId);
        last = device === undefined ? undefined : find(device);
        return last !== undefined && holds(last) ? last : false;
      },
      { timeoutMs, everyMs: 50 },
    ).then(present, (error) => {
      throw new Error(`${deviceId} last said ${JSON.stringify(last, (_, value) => (typeof value === "bigint" ? String(value) : value))}`, {
        cause: error,
      });
    });
  }

  [Symbol.dispose](): void {
    this.channel[Symbol.dispose]();
  }
}

function basicLogin(user: string, password: string): Readonly<Record<string, string>> {
  return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` };
}

function protoName(localName: string): string {
  return localName.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function present<T>(value: T | undefined | false): T {
  if (value === undefined || value === false) throw new Error("an answer without its message");
  return value;
}

import { randomBytes } from "node:crypto";
import { PART_TOKEN_HEADER, partToken } from "../../common/access/part-token.ts";
import { newToken } from "../../common/access/tokens.ts";
import { sampleReport } from "../../common/testing/sample-report.ts";
import { saveReports, statusRow } from "../../common/testing/save-reports.ts";
import { AppService } from "../../gen/nebula/v1/app_pb.ts";
import { CronJobService } from "../../gen/nebula/v1/cron_job_pb.ts";
import { DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { newSessionToken, sessionKey } from "../../manager/access/sessions.ts";
import { ADMIN, type ManagerRig, TEST_SECRETS } from "../../manager/testing/manager-rig.ts";
import { putTestDevice, putTestEnrolment, putTestUser } from "../../manager/testing/test-access.ts";

/**
 * The callers. `device` is DEVICE of GROUP, `other_device` one of another group; `ro`, `rw` and `pruning` are users with these rights on APP,
 * CRON_JOB and GROUP, `pruning` reads and may prune; `elsewhere` has rw on ELSEWHERE alone; `stranger` is a user whom no user_group names; `admin` is
 * one of the store, `local_admin` the configuration's.
 */
export const CALLERS = [
  "anonymous",
  "wrong_password",
  "wrong_token",
  "revoked_device",
  "device",
  "other_device",
  "enrolment",
  "part",
  "stranger",
  "ro",
  "rw",
  "pruning",
  "elsewhere",
  "admin",
  "local_admin",
] as const;
export type CallerName = (typeof CALLERS)[number];

/** Those whom nobody knows. */
export const UNKNOWN: ReadonlySet<CallerName> = new Set(["anonymous", "wrong_password", "wrong_token", "revoked_device"]);

export const APP = "web";
export const CRON_JOB = "nightly";
export const GROUP = "shops";
export const DEVICE = "device-1";
/** A group that only `elsewhere` and admins have rights on. */
export const ELSEWHERE = "offices";
/** A device of GROUP without a token of its own. */
export const TOKENLESS = "device-tokenless";

/** The headers of a caller. */
export type Headers = Readonly<Record<string, string>>;

/** The things that a request of the table may need made for it alone. */
export type Cast = Readonly<{
  headersOf(caller: CallerName): Headers;
  /** Makes DEVICE one that has reported. */
  putStatus(): Promise<void>;
  /** A device of GROUP that has a token; answers its id. */
  freshDevice(): Promise<string>;
  /** An enrolment token of GROUP; answers its id. */
  freshEnrolment(): Promise<string>;
  /** A session of a user of the store; answers its id. */
  freshSession(user: CallerName): Promise<string>;
}>;

/** Puts everybody, and what they call about, into a manager. */
export async function assembleCast({ drivers: { accessStore, reportStore }, channel }: ManagerRig): Promise<Cast> {
  const api = channel();
  const asAdmin = { headers: ADMIN };
  await api.unary(AppService.method.createApp, { app: { name: APP, dockerImage: "nginx:1" } }, asAdmin);
  await api.unary(CronJobService.method.createCronJob, { cronJob: { name: CRON_JOB, schedule: "0 3 * * *", dockerImage: "backup:1" } }, asAdmin);
  await api.unary(DeviceGroupService.method.createDeviceGroup, { deviceGroup: { name: GROUP, apps: [APP] } }, asAdmin);

  const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
  const userWith = async (name: string, permissions: Omit<Parameters<typeof putTestUser>[2], "token">) => {
    const token = newToken();
    await putTestUser(accessStore, name, { ...permissions, token });
    return bearer(token);
  };
  const on = (level: string) => ({ apps: { [APP]: level }, cronJobs: { [CRON_JOB]: level }, deviceGroups: { [GROUP]: level } });
  const revoked = await putTestDevice(accessStore, "device-revoked", GROUP);
  await accessStore.revokeDeviceToken("device-revoked");
  const headers: Record<CallerName, Headers> = {
    anonymous: {},
    wrong_password: { authorization: `Basic ${Buffer.from("admin:wrong").toString("base64")}` },
    wrong_token: bearer(newToken()),
    revoked_device: bearer(revoked),
    device: bearer(await putTestDevice(accessStore, DEVICE, GROUP)),
    other_device: bearer(await putTestDevice(accessStore, "device-2", ELSEWHERE)),
    enrolment: bearer(await putTestEnrolment(accessStore, GROUP, 1000)),
    part: { [PART_TOKEN_HEADER]: partToken(TEST_SECRETS.clusterKey) },
    stranger: await userWith("stranger", {}),
    ro: await userWith("ro", on("ro")),
    rw: await userWith("rw", on("rw")),
    elsewhere: await userWith("elsewhere", { deviceGroups: { [ELSEWHERE]: "rw" } }),
    pruning: await userWith("pruning", { ...on("ro"), pruningAllowed: true }),
    admin: await userWith("boss", { admin: true }),
    local_admin: ADMIN,
  };

  const put = async (deviceId: string, writtenAt: bigint) => {
    await saveReports(reportStore, { statuses: [statusRow(sampleReport({ deviceId, deviceGroup: GROUP }), writtenAt)] });
  };
  await put(TOKENLESS, 1n);

  let written = 0n;
  return {
    headersOf: (caller) => headers[caller],
    async putStatus() {
      written += 2n; // a delete is newer by one
      await put(DEVICE, written);
    },
    async freshDevice() {
      const deviceId = `device-${randomBytes(6).toString("hex")}`;
      await putTestDevice(accessStore, deviceId, GROUP);
      return deviceId;
    },
    async freshEnrolment() {
      await putTestEnrolment(accessStore, GROUP);
      const [newest] = (await accessStore.listEnrolments({ nowMs: Date.now() }, { limit: 1 })).items;
      return newest?.id ?? "";
    },
    async freshSession(user) {
      const key = sessionKey(newSessionToken());
      const times = { createdAt: Date.now(), expiresAt: Date.now() + 3_600_000 };
      await accessStore.createSession({ ...key, user, boundTo: "user_token", madeFrom: "192.0.2.7", ...times }, 20);
      return key.id;
    },
  };
}

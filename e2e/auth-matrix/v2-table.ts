import { APP, type CallerName, CRON_JOB, GROUP, UNKNOWN } from "./cast.ts";

/** A call of REST v2. */
export type V2Call = readonly [method: string, path: string, body?: object];

/**
 * An operation of REST v2, by its id in the OpenAPI document, who may call it, and what they are answered: the status, and of a refusal what it is about. Everybody
 * else who is known is answered `403 access_allowed`, who is not known 401.
 */
export type V2Row = Readonly<{
  operation: string;
  call: V2Call;
  who: readonly CallerName[];
  answer: string;
  /** Done by the local admin before each call; its answer does not matter. */
  before: readonly V2Call[];
}>;

/** The answer of a row to a caller. */
export function expectedOfV2({ who, answer }: Pick<V2Row, "who" | "answer">, caller: CallerName): string {
  if (UNKNOWN.has(caller) || caller === "part") return "401"; // a part token from outside is not a login
  return who.includes(caller) ? answer : "403 access_allowed";
}

const ADMINS = ["admin", "local_admin"] as const;
const WRITERS = ["rw", ...ADMINS] as const;
const PRUNERS = ["pruning", ...WRITERS] as const;
const ALL_PRUNERS = ["pruning", ...ADMINS] as const;
const READERS = ["ro", ...PRUNERS] as const;
const USERS = ["stranger", "elsewhere", ...READERS] as const;

function row(operation: string, call: V2Call, who: V2Row["who"], answer = "200", before: V2Row["before"] = []): V2Row {
  return { operation, call, who, answer, before };
}

const app = { docker_image: "nginx:1" };
const cronJob = { docker_image: "backup:1", schedule: "0 3 * * *" };
/** Of the right shape: it is a manager, to whom it comes only from who may change something, that refuses it. */
const NO_IMAGE = { docker_image: "NO IMAGE" };
const MEMBERS = { apps: [APP] };
const WEB = `/apps/${APP}`;
const NIGHTLY = `/cron_jobs/${CRON_JOB}`;
const SHOPS = `/device_groups/${GROUP}`;
const [createWeb, createNightly, createShops]: [V2Call, V2Call, V2Call] = [
  ["POST", WEB, app],
  ["POST", NIGHTLY, cronJob],
  ["POST", SHOPS, MEMBERS],
];

/** Every operation of REST v2. */
export const V2_TABLE: readonly V2Row[] = [
  row("getStatus", ["GET", "/status"], USERS),
  row("pruneAll", ["POST", "/prune"], ALL_PRUNERS, "202"),
  row("getOpenApiDocument", ["GET", "/openapi.json"], USERS),
  row("listReports", ["GET", "/reports"], USERS),
  row("listReports", ["GET", `/reports?device_group=${GROUP}`], READERS),

  row("listApps", ["GET", "/apps"], USERS),
  row("createApp", createWeb, WRITERS, "403 app_exists"),
  row("getApp", ["GET", WEB], READERS),
  row("putAppUpdate", ["PUT", `${WEB}/update`, NO_IMAGE], WRITERS, "400 invalid_parameters"),
  row("patchAppUpdate", ["PATCH", `${WEB}/update`, NO_IMAGE], WRITERS, "400 invalid_parameters"),
  row("postAppUpdate", ["POST", `${WEB}/update`, NO_IMAGE], WRITERS, "400 invalid_parameters"),
  row("startApp", ["POST", `${WEB}/start`], WRITERS, "202"),
  row("restartApp", ["POST", `${WEB}/restart`], WRITERS, "202"),
  row("stopApp", ["POST", `${WEB}/stop`], WRITERS, "202"),
  row("deleteApp", ["DELETE", WEB], WRITERS, "200", [createWeb]),

  row("listCronJobs", ["GET", "/cron_jobs"], USERS),
  row("createCronJob", createNightly, WRITERS, "403 cron_job_exists"),
  row("getCronJob", ["GET", NIGHTLY], READERS),
  row("putCronJobUpdate", ["PUT", `${NIGHTLY}/update`, NO_IMAGE], WRITERS, "400 invalid_parameters"),
  row("patchCronJobUpdate", ["PATCH", `${NIGHTLY}/update`, NO_IMAGE], WRITERS, "400 invalid_parameters"),
  row("postCronJobUpdate", ["POST", `${NIGHTLY}/update`, { ...cronJob, ...NO_IMAGE }], WRITERS, "400 invalid_parameters"),
  row("deleteCronJob", ["DELETE", NIGHTLY], WRITERS, "200", [createNightly]),

  row("listDeviceGroups", ["GET", "/device_groups"], USERS),
  row("createDeviceGroup", ["POST", SHOPS, {}], WRITERS, "403 device_group_exists"),
  row("getDeviceGroup", ["GET", SHOPS], READERS),
  row("getDeviceGroupInfo", ["GET", `${SHOPS}/info`], ["device", ...READERS]),
  row("putDeviceGroupUpdate", ["PUT", `${SHOPS}/update`, MEMBERS], WRITERS, "202", [createWeb]),
  row("patchDeviceGroupUpdate", ["PATCH", `${SHOPS}/update`, MEMBERS], WRITERS, "202", [createWeb]),
  row("postDeviceGroupUpdate", ["POST", `${SHOPS}/update`, MEMBERS], WRITERS, "202", [createWeb]),
  row("pruneDeviceGroup", ["POST", `${SHOPS}/prune`], PRUNERS, "202"),
  row("deleteDeviceGroup", ["DELETE", SHOPS], WRITERS, "200", [createWeb, createShops]),

  row("listUsers", ["GET", "/users"], ADMINS),
  row("createUser", ["POST", "/users/ro", {}], ADMINS, "403 user_exists"),
  row("getUser", ["GET", "/users/ro"], ADMINS),
  row("putUserUpdate", ["PUT", "/users/nobody/update", { password: "long enough" }], ADMINS, "403 user_name"),
  row("patchUserUpdate", ["PATCH", "/users/nobody/update", { password: "long enough" }], ADMINS, "403 user_name"),
  row("refreshUserToken", ["POST", "/users/nobody/refresh"], ADMINS, "403 user_name"),
  row("deleteUser", ["DELETE", "/users/nobody"], ADMINS, "403 user_exists"),

  row("listUserGroups", ["GET", "/user_groups"], ADMINS),
  row("createUserGroup", ["POST", "/user_groups/ro", {}], ADMINS, "403 user_group_exists"),
  row("getUserGroup", ["GET", "/user_groups/ro"], ADMINS),
  row("putUserGroupUpdate", ["PUT", "/user_groups/nobody/update", { admin: true }], ADMINS, "403 user_group_exists"),
  row("patchUserGroupUpdate", ["PATCH", "/user_groups/nobody/update", { admin: true }], ADMINS, "403 user_group_exists"),
  row("deleteUserGroup", ["DELETE", "/user_groups/nobody"], ADMINS, "403 user_group_exists"),
];

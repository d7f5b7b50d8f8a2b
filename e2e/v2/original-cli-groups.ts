import { strict as assert } from "node:assert";
import type { CliRow } from "./original-cli-containers.ts";

const GROUP = { device_group: "shops", device_group_id: 1, prune_id: 1, apps: ["web", "db"], cron_jobs: [] };
const USER_GROUP = {
  user_group: "crew",
  group_members: ["ann", "bob"],
  pruning_allowed: false,
  apps: { web: "rw", db: "ro" },
  device_groups: { shops: "ro" },
  cron_jobs: {},
  admin: false,
};
const MEMBERS_SENT = { group_members: "ann,bob", pruning_allowed: false, apps: "web:rw,db", device_groups: "shops:ro", admin: false };
const LOGIN = { password: "a user's password", token: "a-users-token-in-clear" };

/** Of device_groups, prune, reports, users and user_groups, in the order in which they are typed, after those of containers. */
export const GROUP_ROWS: readonly CliRow[] = [
  { command: "device-groups list", method: "GET", path: "/device_groups", status: 200, answer: { device_groups: [] } },
  {
    command: "device-groups create -d shops -a web,db -c clean, with the cron_jobs as text",
    method: "POST",
    path: "/device_groups/shops",
    body: { apps: ["web", "db"], cron_jobs: "clean" },
    status: 400,
    answer: { cron_jobs_is_list: false },
  },
  {
    command: "device-groups create -d shops -a web,db, as text",
    method: "POST",
    path: "/device_groups/shops",
    body: { apps: "web,db" },
    status: 400,
    answer: { apps_is_list: false },
  },
  {
    command: "device-groups create -d shops -a web,db",
    method: "POST",
    path: "/device_groups/shops",
    body: { apps: ["web", "db"] },
    status: 200,
    answer: GROUP,
  },
  {
    command: "device-groups create -d shops -a web",
    method: "POST",
    path: "/device_groups/shops",
    body: { apps: ["web"] },
    status: 403,
    answer: { device_group_exists: true },
  },
  {
    command: "device-groups create -d other -a none",
    method: "POST",
    path: "/device_groups/other",
    body: { apps: ["none"] },
    status: 403,
    answer: { app_exists: false },
  },
  { command: "device-groups info -d shops", method: "GET", path: "/device_groups/shops", status: 200, answer: GROUP },
  {
    command: "device-groups update -d shops -a db",
    method: "PUT",
    path: "/device_groups/shops/update",
    body: { apps: ["db"] },
    status: 202,
    answer: { ...GROUP, device_group_id: 2, apps: ["db"] },
  },
  {
    command: "prune device_group -d shops",
    method: "POST",
    path: "/device_groups/shops/prune",
    status: 202,
    answer: { ...GROUP, device_group_id: 3, prune_id: 2, apps: ["db"] },
  },
  { command: "prune all", method: "POST", path: "/prune", status: 202, answer: { prune_ids: { shops: 3 } } },
  {
    command: "reports -p 20 -f gt",
    method: "GET",
    path: "/reports?page_size=20&report_creation_time_filter=gt",
    status: 200,
    answer: { data: null, last_id: null },
  },
  {
    command: "reports -h pos-1 -d shops -r 1600000000 -f lt -u True",
    method: "GET",
    path: "/reports?page_size=20&hostname=pos-1&device_group=shops&report_creation_time=1600000000&report_creation_time_filter=lt&updated=True",
    status: 200,
    answer: { data: null, last_id: null },
  },
  { command: "users list", method: "GET", path: "/users", status: 200, answer: { users: [] } },
  { command: "users create -u ann -p ... -t ...", method: "POST", path: "/users/ann", body: LOGIN, status: 200, answer: named("ann") },
  { command: "users create -u ann -p ... -t ...", method: "POST", path: "/users/ann", body: LOGIN, status: 403, answer: { user_exists: true } },
  { command: "users info -u ann", method: "GET", path: "/users/ann", status: 200, answer: named("ann") },
  {
    command: "users update -u ann -p ... -t ...",
    method: "PUT",
    path: "/users/ann/update",
    body: { ...LOGIN, password: "another password" },
    status: 200,
    answer: named("ann"),
  },
  {
    command: "users update -u none -p ... -t ...",
    method: "PUT",
    path: "/users/none/update",
    body: LOGIN,
    status: 403,
    answer: { user_name: false },
  },
  {
    command: "users refresh -u ann",
    method: "POST",
    path: "/users/ann/refresh",
    status: 200,
    answer: (body: unknown) => assert.match(Object(body).token, /^[\w-]{32,}$/),
  },
  { command: "user-groups list", method: "GET", path: "/user_groups", status: 200, answer: { user_groups: [] } },
  {
    command: "user-groups create -g crew -m ann,bob -a web:rw,db -d shops:ro",
    method: "POST",
    path: "/user_groups/crew",
    body: MEMBERS_SENT,
    status: 200,
    answer: USER_GROUP,
  },
  {
    command: "user-groups create -g crew ...",
    method: "POST",
    path: "/user_groups/crew",
    body: MEMBERS_SENT,
    status: 403,
    answer: { user_group_exists: true },
  },
  { command: "user-groups info -g crew", method: "GET", path: "/user_groups/crew", status: 200, answer: USER_GROUP },
  ...["", "[]", "{}"].flatMap((nothing, index): CliRow[] => [
    {
      command: `user-groups create -g empty, with ${JSON.stringify(nothing)} as what is not given`,
      method: "POST",
      path: `/user_groups/empty-${index}`,
      body: { group_members: nothing === "{}" ? "[]" : nothing, pruning_allowed: true, apps: nothing, device_groups: nothing, admin: true },
      status: 200,
      answer: { ...USER_GROUP, user_group: `empty-${index}`, group_members: [], apps: {}, device_groups: {}, pruning_allowed: true, admin: true },
    },
    { command: `user-groups delete -g empty-${index} --yes`, method: "DELETE", path: `/user_groups/empty-${index}`, status: 200, answer: {} },
  ]),
  {
    command: "user-groups create -g wrong -a web:write",
    method: "POST",
    path: "/user_groups/wrong",
    body: { ...MEMBERS_SENT, apps: "web:write" },
    status: 400,
    answer: (body: unknown) => assert.deepEqual(Object.keys(Object(body).invalid_parameters), ["apps.web"]),
  },
  {
    command: "user-groups update -g crew -m ann, which creates without a value",
    method: "POST",
    path: "/user_groups/crew",
    body: {},
    status: 403,
    answer: { user_group_exists: true },
  },
  {
    command: "user-groups update -g newcomers -m ann",
    method: "POST",
    path: "/user_groups/newcomers",
    body: {},
    status: 200,
    answer: { ...USER_GROUP, user_group: "newcomers", group_members: [], apps: {}, device_groups: {} },
  },
  {
    command: "user-groups update, of a version that sends its flags",
    method: "PUT",
    path: "/user_groups/crew/update",
    body: { group_members: "bob", apps: "db:rw" },
    status: 200,
    answer: { ...USER_GROUP, group_members: ["bob"], apps: { db: "rw" } },
  },
  { command: "user-groups delete -g crew --yes", method: "DELETE", path: "/user_groups/crew", status: 200, answer: {} },
  { command: "users delete -u ann --yes", method: "DELETE", path: "/users/ann", status: 200, answer: {} },
  { command: "users delete -u ann --yes", method: "DELETE", path: "/users/ann", status: 403, answer: { user_exists: false } },
  { command: "device-groups delete -d shops --yes", method: "DELETE", path: "/device_groups/shops", status: 200, answer: {} },
  { command: "apps delete -a web --yes", method: "DELETE", path: "/apps/web", status: 200, answer: {} },
  { command: "apps delete -a web --yes", method: "DELETE", path: "/apps/web", status: 403, answer: { app_exists: false } },
];

function named(name: string): (body: unknown) => void {
  return (body) => {
    assert.equal(Object(body).user_name, name);
    assert.match(Object(body).password, /^\$argon2id\$/);
  };
}

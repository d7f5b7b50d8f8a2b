/** What v2 calls one kind of object. */
export type Noun = Readonly<{
  /** In paths, and what lists answer under. */
  plural: string;
  /** In sentences. */
  singular: string;
  /** The field that holds the name, and the parameter in paths. */
  nameField: string;
  /** The field of refusals that says whether it exists. */
  existsField: string;
  /** The schema's name in the OpenAPI document; that of what is taken ends in Input. */
  schema: string;
}>;

export const APPS: Noun = { plural: "apps", singular: "app", nameField: "app_name", existsField: "app_exists", schema: "App" };
export const CRON_JOBS: Noun = {
  plural: "cron_jobs",
  singular: "cron_job",
  nameField: "cron_job_name",
  existsField: "cron_job_exists",
  schema: "CronJob",
};
export const DEVICE_GROUPS: Noun = {
  plural: "device_groups",
  singular: "device_group",
  nameField: "device_group",
  existsField: "device_group_exists",
  schema: "DeviceGroup",
};
export const USERS: Noun = { plural: "users", singular: "user", nameField: "user_name", existsField: "user_exists", schema: "User" };
export const USER_GROUPS: Noun = {
  plural: "user_groups",
  singular: "user_group",
  nameField: "user_group",
  existsField: "user_group_exists",
  schema: "UserGroup",
};

/** The instance of a real device, whose containers have v2's plain names. */
export const MAIN_INSTANCE = "main";

/** `<app>-<n>`, n from 1; outside of instance main `<instance>-<app>-<n>`. */
export function appContainerName(instance: string, app: string, index: number): string {
  return `${prefix(instance)}${app}-${index}`;
}

/** `<cron_job>-<unix seconds>-1`; outside of instance main with its prefix. */
export function cronContainerName(instance: string, cronJob: string, dueMs: number): string {
  return `${prefix(instance)}${cronJob}-${Math.floor(dueMs / 1000)}-1`;
}

/** The name of a new container until its old one has stopped. */
export function nextName(name: string): string {
  return `${name}.next`;
}

/** The name of an old container until its new one has started. */
export function oldName(name: string): string {
  return `${name}.old`;
}

/** A name for a container that has another's, until that one has moved on. */
export function parkedName(name: string, containerId: string): string {
  return `${name}.moved-${containerId.slice(0, 8)}`;
}

/** The index at the end of a name of the original's: web-12 is 12. undefined: there is none. */
export function indexOfName(name: string): number | undefined {
  const digits = /-(\d{1,9})$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** When the run of a cron container was due, by its name, milliseconds since 1970. */
export function dueOfName(name: string): number | undefined {
  const seconds = /-(\d{9,11})-\d+$/.exec(name)?.[1];
  return seconds === undefined ? undefined : Number(seconds) * 1000;
}

function prefix(instance: string): string {
  return instance === MAIN_INSTANCE ? "" : `${instance}-`;
}

import { type AppStatus, ContainerHealth, ContainerState, type CronJobStatus, type Report, TargetState } from "../../../gen/nebula/v1/report_pb.ts";
import type { Cell } from "../../text/cell.ts";

/** The state of a device, an app or a cron_job. */
export function stateCell(state: TargetState): Cell {
  switch (state) {
    case TargetState.APPLIED:
      return { text: "applied", color: "green" };
    case TargetState.WORKING:
      return { text: "working", color: "yellow" };
    case TargetState.FAILED:
      return { text: "failed", color: "red" };
    default:
      return "unknown"; // unset, or added by a newer server
  }
}

/** The most names of a cell; the others are counted. */
const SHOWN = 4;

/**
 * The applied revision of each app and cron_job: `web@42`, or `api@6->7` if a newer one is known but not applied yet.
 */
export function revisionsText({ apps, cronJobs }: Report): string {
  return shortList(
    [...apps, ...cronJobs].map(
      ({ name, revision, appliedRevision }) => `${name}@${revision === appliedRevision ? revision : `${appliedRevision}->${revision}`}`,
    ),
    ", ",
  );
}

/** Containers of apps: `3/3`, `2/3 running, 1 unhealthy`. */
export function containersCell({ apps }: Report): Cell {
  const containers = apps.flatMap((app) => app.containers);
  const running = containers.filter(({ state }) => state === ContainerState.RUNNING).length;
  const unhealthy = containers.filter(({ health }) => health === ContainerHealth.UNHEALTHY).length;
  const text = `${running}/${containers.length}${unhealthy === 0 ? "" : `, ${unhealthy} unhealthy`}`;
  return running === containers.length && unhealthy === 0 ? text : { text, color: "red" };
}

/** All problems, one sentence each: first those of the device, then those of each app and cron_job. */
export function problemsOf(report: Report, duplicateId: boolean): string[] {
  return [
    ...(duplicateId ? ["duplicate id: two workers report under it"] : []),
    ...report.problems.map(({ code, message }) => (message === "" ? code : `${code}: ${message}`)),
    ...report.apps.flatMap((app) => failureOf(app, app.step)),
    ...report.cronJobs.flatMap((cronJob) => failureOf(cronJob, "")),
  ];
}

export function problemsCell(problems: readonly string[]): Cell {
  const [first, ...more] = problems;
  if (first === undefined) return "";
  return { text: more.length === 0 ? first : `${first} (and ${more.length} more)`, color: "red" };
}

function failureOf({ name, state, reason }: AppStatus | CronJobStatus, step: string): string[] {
  if (state !== TargetState.FAILED) return [];
  return [[name, step, reason === "" ? "failed" : reason].filter((part) => part !== "").join(": ")];
}

function shortList(items: readonly string[], separator: string): string {
  const shown = items.slice(0, SHOWN).join(separator);
  return items.length <= SHOWN ? shown : `${shown} +${items.length - SHOWN}`;
}

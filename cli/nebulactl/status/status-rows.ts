import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import {
  type AppStatus,
  ContainerHealth,
  ContainerState,
  ContainerStateSchema,
  type ContainerStatus,
  type CronJobStatus,
} from "../../../gen/nebula/v1/report_pb.ts";
import { ageOf, formatAge } from "../output/age.ts";
import type { Cell } from "../output/table.ts";
import { stateCell } from "./target-state.ts";

/** The row of an app. @param now wall clock, milliseconds since 1970 */
export function appRow(app: AppStatus, now: number): Cell[] {
  const nextTry = app.retryAt === undefined ? "" : inTime(app.retryAt, now);
  return [
    app.name,
    String(app.revision),
    String(app.appliedRevision),
    stateCell(app.state),
    app.step,
    app.tries === 0 ? "" : String(app.tries),
    nextTry,
    app.notes.join("; "),
  ];
}

/** The row of a cron_job. @param now wall clock, milliseconds since 1970 */
export function cronJobRow(cronJob: CronJobStatus, now: number): Cell[] {
  const last = cronJob.lastRunDue === undefined ? "none yet" : `${ageOf(cronJob.lastRunDue, now)} ago`;
  const next = cronJob.nextRunDue === undefined ? "none" : inTime(cronJob.nextRunDue, now);
  return [cronJob.name, String(cronJob.revision), String(cronJob.appliedRevision), stateCell(cronJob.state), last, next, cronJob.notes.join("; ")];
}

/** The row of a container. @param now wall clock, milliseconds since 1970 */
export function containerRow(container: ContainerStatus, now: number): Cell[] {
  return [
    container.name,
    containerStateCell(container),
    healthCell(container.health),
    String(container.restarts),
    String(container.revision),
    container.image,
    container.startedAt === undefined ? "" : `${ageOf(container.startedAt, now)} ago`,
    container.cpuPercent === 0 ? "" : `${container.cpuPercent.toFixed(1)} %`,
    container.memoryBytes === 0n ? "" : `${(Number(container.memoryBytes) / 1e6).toFixed(0)} MB`,
  ];
}

function containerStateCell({ state, exitCode }: ContainerStatus): Cell {
  const name = (ContainerStateSchema.value[state]?.localName ?? "unknown").toLowerCase();
  if (state === ContainerState.EXITED) return exitCode === 0 ? "exited (0)" : { text: `exited (${exitCode})`, color: "red" };
  return state === ContainerState.DEAD || state === ContainerState.RESTARTING ? { text: name, color: "red" } : name;
}

function healthCell(health: ContainerHealth): Cell {
  switch (health) {
    case ContainerHealth.HEALTHY:
      return { text: "healthy", color: "green" };
    case ContainerHealth.UNHEALTHY:
      return { text: "unhealthy", color: "red" };
    case ContainerHealth.STARTING:
      return { text: "starting", color: "yellow" };
    default:
      return "";
  }
}

function inTime(time: Timestamp, now: number): string {
  return `in ${formatAge(timestampMs(time) - now)}`;
}

import type { ClusterIdentity } from "../../common/storage/config-store.ts";

/** Nebula's labels. The first four are v2's. */
export const LABEL = {
  orchestrator: "orchestrator",
  containerType: "container_type",
  appName: "app_name",
  cronJobName: "cron_job_name",
  instance: "nebula.instance",
  cluster: "nebula.cluster",
  revision: "nebula.id",
  index: "nebula.index",
  spec: "nebula.spec",
  boot: "nebula.boot",
  restart: "nebula.restart",
  /** Of a cron container: when its run was due, unix seconds. */
  due: "nebula.due",
  /** `1`: made from the image on the device after a failed pull. */
  stale: "nebula.stale",
} as const;

export const ORCHESTRATOR = "nebula";

type Labels = Readonly<Record<string, string>>;

type Common = Readonly<{ instance: string; boot: string; cluster: ClusterIdentity; revision: bigint; hash: string; isStale: boolean }>;

/** The labels that Nebula writes on a container of an app. */
export function appLabels(app: string, index: number, restartCount: bigint, common: Common): Labels {
  return {
    [LABEL.containerType]: "app",
    [LABEL.appName]: app,
    [LABEL.index]: String(index),
    [LABEL.restart]: String(restartCount),
    ...commonLabels(common),
  };
}

/** The labels that Nebula writes on the container of one run. `dueMs`: when the run was due, milliseconds since 1970. */
export function cronJobLabels(cronJob: string, dueMs: number, common: Common): Labels {
  return {
    [LABEL.containerType]: "cron_job",
    [LABEL.cronJobName]: cronJob,
    [LABEL.due]: String(Math.floor(dueMs / 1000)),
    ...commonLabels(common),
  };
}

function commonLabels({ instance, boot, cluster, revision, hash, isStale }: Common): Labels {
  return {
    [LABEL.orchestrator]: ORCHESTRATOR,
    [LABEL.instance]: instance,
    [LABEL.cluster]: clusterLabel(cluster),
    [LABEL.revision]: String(revision),
    [LABEL.spec]: hash,
    [LABEL.boot]: boot,
    ...(isStale && { [LABEL.stale]: "1" }),
  };
}

/**
 * The labels of a container without those that it only has from its image. If all of its Nebula labels equal those of
 * the image, they are the image's: somebody made it of a copy (`docker commit`) of a container of Nebula's. A container
 * that a worker made always differs from its image in its spec.
 */
export function withoutInherited(labels: Labels, ofImage: Labels): Labels {
  const entries = Object.entries(labels);
  if (entries.some(([key, value]) => isNebulaLabel(key) && ofImage[key] !== value)) return labels;
  return Object.fromEntries(entries.filter(([key]) => !isNebulaLabel(key)));
}

/** Whether a label is one that Nebula writes, this version or another. */
export function isNebulaLabel(key: string): boolean {
  const v2: readonly string[] = [LABEL.orchestrator, LABEL.containerType, LABEL.appName, LABEL.cronJobName];
  return v2.includes(key) || key.startsWith("nebula.");
}

/** `<id>.<epoch>` */
function clusterLabel({ id, epoch }: ClusterIdentity): string {
  return `${id}.${epoch}`;
}

/** The cluster that a label names; undefined: none, or not one of ours. */
export function clusterOfLabel(label: string | undefined): ClusterIdentity | undefined {
  const match = /^(.+)\.(\d{1,20})$/.exec(label ?? "");
  const [, id, epoch] = match ?? [];
  return id === undefined || epoch === undefined ? undefined : { id, epoch: BigInt(epoch) };
}

/** A number in a label; undefined: none. */
export function numberOfLabel(label: string | undefined): number | undefined {
  return label !== undefined && /^\d{1,15}$/.test(label) ? Number(label) : undefined;
}

/** A revision or count in a label; 0: none. */
export function bigintOfLabel(label: string | undefined): bigint {
  return label !== undefined && /^\d{1,20}$/.test(label) ? BigInt(label) : 0n;
}

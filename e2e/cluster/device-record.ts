import { createHash } from "node:crypto";
import { toBinary } from "@bufbuild/protobuf";
import { type Config, ConfigSchema } from "../../gen/nebula/v1/config_pb.ts";
import { type Report, TargetState } from "../../gen/nebula/v1/report_pb.ts";

/** A report that the server acknowledged. */
export type Acknowledged = Readonly<{ deviceId: string; boot: string; seq: bigint }>;

/** An app on a device: what it knows of, and what it is fully at. */
export type AppOnDevice = Readonly<{ name: string; revision: bigint; applied: bigint }>;

/** Where a device stands, by its own account. */
export type DeviceNow = Readonly<{
  deviceId: string;
  deviceGroup: string;
  group: bigint;
  apps: readonly AppOnDevice[];
  /** The id of each container, and when it was last started, sorted. */
  containers: readonly string[];
  settled: boolean;
}>;

/**
 * The configs and reports of one device, held against what must be true of it during every fault of the servers: neither the group nor an app goes
 * back to a lower revision, neither what the device knows of nor what it has applied.
 */
export class DeviceRecord {
  readonly deviceId: string;
  /** Each way in which it went wrong. */
  readonly flaws: string[] = [];
  /** Of the configs that it got: a digest of the content by etag. */
  readonly digests = new Map<string, string>();
  #group = 0n;
  #apps = new Map<string, AppOnDevice>();
  #acknowledged: Acknowledged[] = [];

  constructor(deviceId: string) {
    this.deviceId = deviceId;
  }

  configCame(config: Config, etag: string): void {
    const digest = createHash("sha256").update(toBinary(ConfigSchema, config)).digest("base64url");
    const before = this.digests.get(etag);
    if (before !== undefined && before !== digest) this.flaws.push(`${this.deviceId} got two configs with the etag ${etag}`);
    this.digests.set(etag, digest);
  }

  /** A report is being sent; one that is sent again may come again. */
  reported(report: Report): void {
    if (report.groupRevision < this.#group) this.flaws.push(`${this.deviceId} went from group revision ${this.#group} to ${report.groupRevision}`);
    this.#group = report.groupRevision;
    for (const now of appsOf(report)) {
      const before = this.#apps.get(now.name);
      this.#apps.set(now.name, now);
      if (before === undefined) continue;
      if (now.revision < before.revision) this.flaws.push(`${this.deviceId} went from ${now.name} ${before.revision} to ${now.revision}`);
      if (now.applied < before.applied) this.flaws.push(`${this.deviceId} had applied ${now.name} ${before.applied}, then ${now.applied}`);
    }
  }

  acknowledged({ deviceId, boot, seq }: Report): void {
    this.#acknowledged.push({ deviceId, boot, seq });
  }

  /** The reports that were acknowledged since it was asked last. */
  takeAcknowledged(): readonly Acknowledged[] {
    const taken = this.#acknowledged;
    this.#acknowledged = [];
    return taken;
  }
}

export function deviceNow(report: Report): DeviceNow {
  const { deviceId, deviceGroup, groupRevision, state } = report;
  const containers = report.apps.flatMap((app) => app.containers.map(({ id, startedAt }) => `${id} ${startedAt?.seconds}.${startedAt?.nanos}`));
  return { deviceId, deviceGroup, group: groupRevision, apps: appsOf(report), containers: containers.sort(), settled: state === TargetState.APPLIED };
}

function appsOf(report: Report): AppOnDevice[] {
  return report.apps.map(({ name, revision, appliedRevision }) => ({ name, revision, applied: appliedRevision }));
}

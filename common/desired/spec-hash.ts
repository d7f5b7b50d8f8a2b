import { createHash } from "node:crypto";
import type { ContainerSpec, PortBinding } from "./container-spec.ts";

/** The specification of a container, and the restart count of its app: a restart re-creates it. */
export type HashedSpec = Readonly<{ spec: ContainerSpec; restartCount: bigint }>;

/**
 * Every hash function that a worker ever wrote into `nebula.spec`, by the prefix that names it: a label is compared with the function it was made by,
 * so that an upgrade of the worker re-creates nothing. A function in this table never changes; a new field is left out of it while it has its default.
 */
const HASHES: Readonly<Record<string, (hashed: HashedSpec) => string>> = { "1": hash1 };
const NEWEST = "1";

/** The value of `nebula.spec`: the function's name, a colon, and the digest in hexadecimal. */
export function specHash(hashed: HashedSpec): string {
  return `${NEWEST}:${hash1(hashed)}`;
}

/** Whether a label names this spec. `unknown`: there is no label, or by a function that this worker does not have; the container has to be inspected. */
export function compareSpecLabel(label: string | undefined, hashed: HashedSpec): "same" | "different" | "unknown" {
  const [name = "", digest = ""] = label?.split(":") ?? [];
  const hash = Object.hasOwn(HASHES, name) ? HASHES[name] : undefined;
  if (hash === undefined) return "unknown";
  return hash(hashed) === digest ? "same" : "different";
}

/** Whether this worker has the function that a label was made by. */
export function isKnownSpecLabel(label: string | undefined): boolean {
  return Object.hasOwn(HASHES, label?.split(":")[0] ?? "");
}

/** SHA-256 over JSON with sorted keys, fields at their defaults left out. */
function hash1({ spec, restartCount }: HashedSpec): string {
  const fields: readonly (readonly [name: string, value: unknown, isDefault: boolean])[] = [
    ["cap_add", spec.capAdd, spec.capAdd.length === 0],
    ["cap_drop", spec.capDrop, spec.capDrop.length === 0],
    ["command", spec.command, spec.command.length === 0],
    ["cpus", spec.cpus, spec.cpus === 0],
    ["devices", spec.devices, spec.devices.length === 0],
    ["entrypoint", spec.entrypoint, spec.entrypoint.length === 0],
    ["env", sortedMap(spec.env), isEmpty(spec.env)],
    ["extra_hosts", spec.extraHosts, spec.extraHosts.length === 0],
    ["healthcheck", healthcheck1(spec.healthcheck), spec.healthcheck === undefined],
    ["hostname", spec.hostname, spec.hostname === ""],
    ["image", spec.image, false],
    ["init", spec.init, !spec.init],
    ["labels", sortedMap(spec.labels), isEmpty(spec.labels)],
    ["logging", logging1(spec.logging), spec.logging === undefined],
    ["memory", spec.memoryBytes, spec.memoryBytes === 0],
    ["networks", spec.networks, false],
    ["ports", spec.ports.map(portEntry), spec.ports.length === 0],
    ["privileged", spec.privileged, !spec.privileged],
    ["read_only", spec.readOnly, !spec.readOnly],
    ["restart", String(restartCount), restartCount === 0n],
    ["restart_policy", spec.restartPolicy, spec.restartPolicy === "unless-stopped"],
    ["shm", spec.shmBytes, spec.shmBytes === 0],
    ["tmpfs", sortedMap(spec.tmpfs), isEmpty(spec.tmpfs)],
    ["ulimits", spec.ulimits.map(({ name, soft, hard }) => [name, soft, hard]), spec.ulimits.length === 0],
    ["user", spec.user, spec.user === ""],
    ["volumes", spec.volumes, spec.volumes.length === 0],
    ["working_dir", spec.workingDir, spec.workingDir === ""],
  ];
  const present = fields.filter(([, , isDefault]) => !isDefault).map(([name, value]) => [name, value]);
  return createHash("sha256")
    .update(JSON.stringify(Object.fromEntries(present)))
    .digest("hex");
}

function healthcheck1(check: ContainerSpec["healthcheck"]): unknown {
  if (check === undefined) return undefined;
  return [check.test, check.intervalMs, check.timeoutMs, check.retries, check.startPeriodMs];
}

function logging1(logging: ContainerSpec["logging"]): unknown {
  return logging === undefined ? undefined : [logging.driver, sortedMap(logging.options)];
}

/** Entries in place of an object: JSON would put keys that look like numbers first. */
function sortedMap(map: Readonly<Record<string, string>>): readonly (readonly [string, string])[] {
  return Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1));
}

function isEmpty(map: Readonly<Record<string, string>>): boolean {
  return Object.keys(map).length === 0;
}

/** A port without an address is as it was before there were addresses. */
function portEntry({ hostPort, containerPort, protocol, address }: PortBinding): readonly (number | string)[] {
  return [hostPort, containerPort, protocol, ...(address === undefined ? [] : [address])];
}

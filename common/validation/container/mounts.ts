import { posix } from "node:path";
import type { Violation } from "../../errors/nebula-error.ts";
import { entryPath, quote } from "../../text/wording.ts";

const VOLUME_EXAMPLES = "/host/path:/data, name:/data or name:/data:ro";
const VOLUME_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;
/** The options of a mount, by kind: of each kind one at most. */
const MODES: ReadonlyMap<string, "access" | "label" | "propagation" | "copy" | "consistency"> = new Map([
  ["rw", "access"],
  ["ro", "access"],
  ["z", "label"],
  ["Z", "label"],
  ["private", "propagation"],
  ["rprivate", "propagation"],
  ["shared", "propagation"],
  ["rshared", "propagation"],
  ["slave", "propagation"],
  ["rslave", "propagation"],
  ["nocopy", "copy"],
  ["consistent", "consistency"],
  ["cached", "consistency"],
  ["delegated", "consistency"],
]);

/** Checks mounts: no two of them (temporary file systems included) may have the same path inside the container. */
export function validateVolumes(volumes: readonly string[], tmpfs: Readonly<Record<string, string>>): Violation[] {
  const taken = new Map(Object.keys(tmpfs).map((path) => [cleanContainerPath(path), "tmpfs"]));
  return volumes.flatMap((volume, index) => {
    const field = `volumes[${index}]`;
    const [source = "", path = "", mode, ...more] = volume.split(":");
    const fault = more.length > 0 ? "it has too many parts" : faultOfVolume(source, path, mode);
    if (fault !== undefined) return [{ field, description: `${quote(volume)} can't be mounted: ${fault}; use ${VOLUME_EXAMPLES}` }];
    const clean = cleanContainerPath(path);
    const other = taken.get(clean);
    if (other !== undefined) return [{ field, description: `${quote(clean)} is mounted by ${other} already; give it another path` }];
    taken.set(clean, field);
    return [];
  });
}

function faultOfVolume(source: string, path: string, mode: string | undefined): string | undefined {
  if (source === "" || path === "") return "it needs a host path or a volume's name, and a path in the container";
  const fault = faultOfMountPath(path);
  if (fault !== undefined) return `of ${quote(path)}, ${fault}`;
  const isPath = source.startsWith("/");
  if (!isPath && source.includes("/")) return `the host path ${quote(source)} has to be absolute`;
  if (!isPath && !VOLUME_NAME.test(source)) {
    return `${quote(source)} is not a valid name of a volume (a letter or digit, then at least one of letters, digits, '_', '.', '-')`;
  }
  return mode === undefined || mode === "" ? undefined : faultOfMode(mode, isPath);
}

function faultOfMode(mode: string, isPath: boolean): string | undefined {
  const options = mode.split(",");
  const kinds = options.map((option) => MODES.get(option));
  const unknown = options.find((option) => !MODES.has(option));
  if (unknown !== undefined) return `${quote(unknown)} is not a mode (${[...MODES.keys()].join(", ")})`;
  if (new Set(kinds).size < kinds.length) return `the modes ${quote(mode)} exclude each other`;
  if (isPath && kinds.includes("copy")) return "nocopy is for named volumes only";
  if (!isPath && kinds.includes("propagation")) return `${quote(mode)} is for host paths only`;
  return undefined;
}

const FLAGS = new Set(
  [
    "defaults ro rw suid nosuid dev nodev exec noexec sync async dirsync mand nomand atime noatime diratime nodiratime relatime norelatime",
    "strictatime nostrictatime private rprivate shared rshared slave rslave unbindable runbindable",
  ].flatMap((words) => words.split(" ")),
);
const VALUES: Readonly<Record<string, RegExp>> = {
  size: /^[0-9]+[kmgKMG%]?$/,
  mode: /^[0-7]{1,5}$/,
  uid: /^[0-9]{1,10}$/,
  gid: /^[0-9]{1,10}$/,
  nr_inodes: /^[0-9]+[kmgKMG]?$/,
  nr_blocks: /^[0-9]+[kmgKMG]?$/,
  mpol: /^[a-z0-9:=,-]+$/,
};

/** Checks temporary file systems, by path, and their mount options. */
export function validateTmpfs(tmpfs: Readonly<Record<string, string>>): Violation[] {
  const seen = new Set<string>();
  return Object.entries(tmpfs).flatMap(([path, options]) => {
    const field = entryPath("tmpfs", path);
    const fault = faultOfMountPath(path) ?? faultOfOptions(options);
    if (fault !== undefined) return [{ field, description: `${quote(path)}: ${fault}` }];
    const clean = cleanContainerPath(path);
    if (seen.has(clean)) return [{ field, description: `${quote(clean)} is mounted twice; once is enough` }];
    seen.add(clean);
    return [];
  });
}

function faultOfOptions(options: string): string | undefined {
  if (options === "") return undefined;
  const wrong = options.split(",").find((option) => !isOption(option));
  return wrong === undefined
    ? undefined
    : `${quote(wrong)} is not an option of a tmpfs; use options such as size=64m, mode=1777, uid=1000 and noexec`;
}

function isOption(option: string): boolean {
  const equals = option.indexOf("=");
  if (equals < 0) return FLAGS.has(option);
  const key = option.slice(0, equals);
  return Object.hasOwn(VALUES, key) && (VALUES[key]?.test(option.slice(equals + 1)) ?? false);
}

/** A path inside a container in the one form that equal paths share: no `.`, `..`, doubled or last slash. */
export function cleanContainerPath(path: string): string {
  const clean = posix.normalize(path);
  return clean.length > 1 && clean.endsWith("/") ? clean.slice(0, -1) : clean;
}

/** Returns the fault of a path on which something is mounted inside a container; undefined if it is valid. */
export function faultOfMountPath(path: string): string | undefined {
  if (!path.startsWith("/")) return "it has to be an absolute path, such as /data";
  if (cleanContainerPath(path) === "/") return "nothing can be mounted over the whole root; name a folder such as /data";
  return undefined;
}

const DEVICE_EXAMPLES = "/dev/ttyUSB0, /dev/ttyUSB0:/dev/tty1 or /dev/ttyUSB0:/dev/ttyUSB0:rw";

export function validateDevices(devices: readonly string[]): Violation[] {
  return devices.flatMap((device, index) => {
    const fault = faultOfDevice(device);
    return fault === undefined
      ? []
      : [{ field: `devices[${index}]`, description: `invalid device ${quote(device)}: ${fault}; use ${DEVICE_EXAMPLES}` }];
  });
}

function faultOfDevice(device: string): string | undefined {
  const [hostPath = "", containerPath, permissions, ...more] = device.split(":");
  if (more.length > 0) return "it has too many parts";
  if (!hostPath.startsWith("/")) return "the host's path has to be absolute";
  if (containerPath !== undefined && !containerPath.startsWith("/")) return `the path in the container, ${quote(containerPath)}, has to be absolute`;
  if (permissions !== undefined && !arePermissions(permissions))
    return `${quote(permissions)} are not valid permissions: r, w and m, each at most once`;
  return undefined;
}

function arePermissions(text: string): boolean {
  return /^[rwm]{1,3}$/.test(text) && new Set(text).size === text.length;
}

import type { Violation } from "../errors/nebula-error.ts";
import { cleanContainerPath, faultOfMountPath } from "./container-path.ts";
import { quote } from "./quote.ts";

const EXAMPLE = "/host/path:/data, name:/data or name:/data:ro would do";
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

/** Mounts, and that no two of them (temporary file systems included) have one path inside the container. */
export function validateVolumes(volumes: readonly string[], tmpfs: Readonly<Record<string, string>>): Violation[] {
  const taken = new Map(Object.keys(tmpfs).map((path) => [cleanContainerPath(path), "tmpfs"]));
  return volumes.flatMap((volume, index) => {
    const field = `volumes[${index}]`;
    const [source = "", path = "", mode, ...more] = volume.split(":");
    const fault = more.length > 0 ? "it has too many parts" : faultOfVolume(source, path, mode);
    if (fault !== undefined) return [{ field, description: `${quote(volume)} can't be mounted: ${fault}; ${EXAMPLE}` }];
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
    return `${quote(source)} is no name of a volume (a letter or digit, then at least one of letters, digits, '_', '.', '-')`;
  }
  return mode === undefined || mode === "" ? undefined : faultOfMode(mode, isPath);
}

function faultOfMode(mode: string, isPath: boolean): string | undefined {
  const options = mode.split(",");
  const kinds = options.map((option) => MODES.get(option));
  const unknown = options.find((option) => !MODES.has(option));
  if (unknown !== undefined) return `${quote(unknown)} is no mode (${[...MODES.keys()].join(", ")})`;
  if (new Set(kinds).size < kinds.length) return `the modes ${quote(mode)} exclude each other`;
  if (isPath && kinds.includes("copy")) return "nocopy is for named volumes only";
  if (!isPath && kinds.includes("propagation")) return `${quote(mode)} is for host paths only`;
  return undefined;
}

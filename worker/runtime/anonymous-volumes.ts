import { posix } from "node:path";
import type { ContainerSpec } from "../../common/desired/container-spec.ts";
import { isNebulaError, messageOf, NebulaError } from "../../common/errors/nebula-error.ts";

/** A volume without a name of its own, by the id that the engine gave it, and where a container has it. */
export type AnonymousVolume = Readonly<{ name: string; path: string }>;

/** Whether an engine chose a volume's name. */
export function isAnonymousName(name: string): boolean {
  return /^[0-9a-f]{64}$/.test(name);
}

/**
 * The anonymous volumes of an old container that its successor gets: those for paths that the images of both declare,
 * and that the new spec does not mount itself.
 */
export function carriedVolumes(
  old: Readonly<{ volumes: readonly AnonymousVolume[]; declared: readonly string[] }>,
  { volumes, tmpfs }: Pick<ContainerSpec, "volumes" | "tmpfs">,
  declared: readonly string[],
): readonly AnonymousVolume[] {
  const mounted = new Set([...volumes.map((bind) => bind.split(":")[1] ?? ""), ...Object.keys(tmpfs)].map(plain));
  const both = new Set(declared.map(plain)).intersection(new Set(old.declared.map(plain)));
  return old.volumes.filter(({ path }) => both.has(plain(path)) && !mounted.has(plain(path)));
}

/** Without a slash at its end, and with no other twice. */
function plain(path: string): string {
  return posix.normalize(path).replace(/(?<=.)\/$/, "");
}

/**
 * Why no successor is created for a container whose inspect fails: nothing else tells which volumes it hands over. A lost connection to the engine
 * and a call that nobody wants any more stay what they are.
 */
export function unknownVolumes(containerId: string, error: unknown): unknown {
  if (isNebulaError(error, "unavailable") || isNebulaError(error, "cancelled")) return error;
  const kind = isNebulaError(error) ? error.kind : "internal";
  return new NebulaError(kind, `container ${containerId.slice(0, 12)}, which is replaced, can't be inspected: ${messageOf(error)}`, { cause: error });
}

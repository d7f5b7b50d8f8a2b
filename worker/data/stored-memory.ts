import type { ClusterIdentity } from "../../common/storage/config-store.ts";
import type { Applied, KeptMemory, PruneMark, Pulled } from "../plan/memory/memory.ts";
import type { PulledImage } from "../plan/step.ts";

/** The kept memory as plain JSON, for a file. */
export function storeMemory({ pulled, adopted, volumes, pruned, applied, imageHistory, goneHours }: KeptMemory): unknown {
  return {
    pulled: [...pulled].map(([unit, { image, change, restartCount, used, brought }]) => [
      unit,
      { image, change, restartCount: String(restartCount), used, ...(brought.kind === "known" && { imageId: brought.id }) },
    ]),
    adopted: [...adopted],
    volumes: [...volumes],
    pruned: pruned && {
      cluster: { id: pruned.cluster.id, epoch: String(pruned.cluster.epoch) },
      deviceGroup: pruned.deviceGroup,
      pruneId: String(pruned.pruneId),
    },
    applied: applied && {
      cluster: { id: applied.cluster.id, epoch: String(applied.cluster.epoch) },
      revisions: [...applied.revisions].map(([unit, revision]) => [unit, String(revision)]),
    },
    imageHistory: [...imageHistory],
    goneHours: [...goneHours],
  };
}

/** Reads back what `storeMemory` made. Parts not of that form are left out: losing one costs a pull or a comparison, never a container. */
export function restoreMemory(stored: unknown): KeptMemory {
  const { pulled, adopted, volumes, pruned, applied, imageHistory, goneHours } = fieldsOf(stored);
  return {
    pulled: mapOf(pulled, pulledOf),
    adopted: mapOf(adopted, textOf),
    volumes: mapOf(volumes, textOf),
    pruned: prunedOf(pruned),
    applied: appliedOf(applied),
    imageHistory: mapOf(imageHistory, imagesOf),
    goneHours: mapOf(goneHours, hoursOf),
  };
}

function pulledOf(value: unknown): Pulled | undefined {
  const { image, change, restartCount, note, used, imageId } = fieldsOf(value);
  const count = numberOf(restartCount);
  if (typeof image !== "string" || typeof change !== "string" || count === undefined) return undefined;
  if (textOf(note) !== undefined) return undefined; // of a worker that counted a failed pull beside a local image as one that succeeded
  const id = textOf(imageId);
  return {
    image,
    change,
    restartCount: count,
    used: used === true,
    brought: id === undefined ? { kind: "unknown", present: undefined, isFirst: false } : { kind: "known", id },
  };
}

function prunedOf(value: unknown): PruneMark | undefined {
  const { cluster, deviceGroup, pruneId } = fieldsOf(value);
  const [known, pruneNumber] = [clusterOf(cluster), numberOf(pruneId)];
  if (known === undefined || typeof deviceGroup !== "string" || pruneNumber === undefined) return undefined;
  return { cluster: known, deviceGroup, pruneId: pruneNumber };
}

function appliedOf(value: unknown): Applied | undefined {
  const { cluster, revisions } = fieldsOf(value);
  const known = clusterOf(cluster);
  return known && { cluster: known, revisions: mapOf(revisions, numberOf) };
}

function clusterOf(value: unknown): ClusterIdentity | undefined {
  const { id, epoch } = fieldsOf(value);
  const number = numberOf(epoch);
  return typeof id === "string" && number !== undefined ? { id, epoch: number } : undefined;
}

function imagesOf(value: unknown): readonly PulledImage[] | undefined {
  if (!Array.isArray(value)) return undefined;
  return value.flatMap((entry: unknown) => {
    const { image, id } = fieldsOf(entry);
    return typeof image === "string" && typeof id === "string" ? [{ image, id }] : [];
  });
}

function mapOf<T>(value: unknown, parse: (entry: unknown) => T | undefined): ReadonlyMap<string, T> {
  const map = new Map<string, T>();
  if (!Array.isArray(value)) return map;
  for (const entry of value) {
    const [key, stored]: unknown[] = Array.isArray(entry) ? entry : [];
    const parsed = parse(stored);
    if (typeof key === "string" && parsed !== undefined) map.set(key, parsed);
  }
  return map;
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

function hoursOf(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function numberOf(value: unknown): bigint | undefined {
  return typeof value === "string" && /^\d{1,20}$/.test(value) ? BigInt(value) : undefined;
}

import { standingText } from "../../../common/insight/text/device-text.ts";
import { printableLine } from "../../../common/printable.ts";
import { entityKindOf } from "../../../common/resources/target-kind.ts";
import { ageOf } from "../../../common/text/age.ts";
import type { GroupDrift } from "../../../gen/nebula/v1/drift_pb.ts";
import type { Paint } from "../output/paint.ts";
import { renderTable } from "../output/table.ts";

/** Devices of a group that the text names; the rest is counted. */
const SHOWN = 20;

/** The drift of one group for a person: numbers, then devices, images and repairs. @param now wall clock, milliseconds since 1970 */
export function driftText(drift: GroupDrift, now: number, paint: Paint, columns?: number): string {
  const { deviceGroup, devices, newest, counts, drifted, images, repairs, repaired } = drift;
  const name = printableLine(deviceGroup);
  if (drift.groupRevision === 0n) return `device_group ${name}: deleted\n`;
  const lines = [`device_group ${name}: ${newest} of ${devices} ${devices === 1 ? "device runs its" : "devices run their"} newest config\n`];
  for (const { standing, failureCode, devices: count, since } of counts)
    lines.push(`  ${count} ${standingText(standing, failureCode)}${since === undefined ? "" : `, the first for ${ageOf(since, now)}`}\n`);
  if (drifted.length > 0) {
    const rows = drifted.slice(0, SHOWN).map(({ deviceId, standing, failureCode, kind, name: about, since }) => {
      const entity = entityKindOf(kind);
      return [
        deviceId,
        standingText(standing, failureCode),
        since === undefined ? "" : ageOf(since, now),
        entity === undefined ? "" : `${entity}/${about}`,
      ];
    });
    lines.push(indented(renderTable(["DEVICE", "STATE", "SINCE", "ABOUT"], rows, paint, columns === undefined ? undefined : columns - 2)));
    const more = devices - newest - rows.length;
    if (more > 0) lines.push(`  and ${more} more\n`);
  }
  for (const { image, imageIds } of images) {
    const ids = imageIds.map(({ imageId, devices: count }) => `${imageId} on ${count}`).join(", ");
    lines.push(`  image ${printableLine(image)} stands for ${imageIds.length} images: ${ids}\n`);
  }
  if (repairs > 0n) {
    const most = repaired.slice(0, SHOWN).map(({ deviceId, repairs: count }) => `${printableLine(deviceId)} ${count}`);
    lines.push(`  ${repairs} ${repairs === 1n ? "repair" : "repairs"} by workers since they started: ${most.join(", ")}\n`);
  }
  return lines.join("");
}

function indented(text: string): string {
  return text.replaceAll(/^(?=.)/gm, "  ");
}

import { Counter, type Registry } from "prom-client";

/** Counts the polls of /info. Adding to a labelled counter costs more than the poll's own work: plain numbers are kept, and handed over when they are asked for. */
export type InfoMetrics = Readonly<{
  /** A poll of a device_group that exists was answered. */
  polled(deviceGroup: string): void;
}>;

/** Device_groups that are counted by name; polls of further ones are counted together. */
const MOST_NAMES = 10_000;
/** No device_group's name begins so. */
const OTHERS = "_others";

export function createInfoMetrics(registry: Registry): InfoMetrics {
  const names = new Set<string>();
  const polls = new Map<string, number>();
  new Counter({
    name: "nebula_v2_info_polls_total",
    help: "Answered polls of GET /api/v2/device_groups/X/info by device_group; _others: of those beyond the first 10,000.",
    labelNames: ["device_group"],
    registers: [registry],
    collect() {
      for (const [deviceGroup, count] of polls) this.inc({ device_group: deviceGroup }, count);
      polls.clear();
    },
  });
  return {
    polled(deviceGroup) {
      const count = polls.get(deviceGroup);
      if (count !== undefined) return void polls.set(deviceGroup, count + 1);
      const named = names.has(deviceGroup) || names.size < MOST_NAMES;
      if (named) names.add(deviceGroup);
      const label = named ? deviceGroup : OTHERS;
      polls.set(label, (polls.get(label) ?? 0) + 1);
    },
  };
}

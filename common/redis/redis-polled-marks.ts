import type { HintMetrics } from "../metrics/hint-metrics.ts";
import { MARKED_MS, type PolledMarks } from "../v2/polled-marks.ts";
import { answerWithin, type Commands } from "./commands.ts";
import { type HintSeal, SEAL_BYTES } from "./hint-seal.ts";

const READ_MS = 100;

export type RedisPolledMarksOptions = Readonly<{ commands: Commands; seal: HintSeal; metrics: HintMetrics }>;

/** A key for each group, with an expiry. Its value is nothing, sealed for the group: who can write to Redis marks no group. */
export function createRedisPolledMarks({ commands, seal, metrics }: RedisPolledMarksOptions): PolledMarks {
  const keyOf = (deviceGroup: string) => `${seal.prefix}polled:${deviceGroup}`;
  const purposeOf = (deviceGroup: string) => `polled/${deviceGroup}`;

  async function markOne(deviceGroup: string): Promise<void> {
    const sealed = seal.seal(purposeOf(deviceGroup), Buffer.alloc(0));
    await commands.run((client) => client.set(keyOf(deviceGroup), sealed, "PX", MARKED_MS)).catch(() => metrics.lost("put"));
  }

  return {
    async mark(deviceGroups) {
      await Promise.all(deviceGroups.map(markOne));
    },
    async isMarked(deviceGroup) {
      const asked = commands.run((client) => client.getrangeBuffer(keyOf(deviceGroup), 0, SEAL_BYTES));
      const stored = await answerWithin(asked, READ_MS);
      if (stored === undefined) metrics.lost("get");
      if (stored === undefined || stored.length === 0) return false;
      const isOurs = seal.open(purposeOf(deviceGroup), stored) !== undefined;
      if (!isOurs) metrics.rejected("polled");
      return isOurs;
    },
    async [Symbol.asyncDispose]() {},
  };
}

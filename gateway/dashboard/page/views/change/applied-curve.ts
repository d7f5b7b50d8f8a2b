/** Devices that applied a change, over the time that its page is open. Pure. */

export type Sample = Readonly<{ atMs: number; applied: number; devices: number }>;

/** Samples that are kept: of more every second one goes. */
const MOST_SAMPLES = 400;

/** Adds what was just read. Of a level that lasts the first and the newest sample are kept. */
export function addSample(samples: readonly Sample[], sample: Sample): readonly Sample[] {
  const [before, newest] = samples.slice(-2);
  const isLevel = before !== undefined && newest !== undefined && isEqual(before, newest) && isEqual(newest, sample);
  const next = [...(isLevel ? samples.slice(0, -1) : samples), sample];
  return next.length <= MOST_SAMPLES ? next : next.filter((_, index) => index === 0 || index % 2 === 1 || index === next.length - 1);
}

function isEqual(one: Sample, other: Sample): boolean {
  return one.applied === other.applied && one.devices === other.devices;
}

/** The points of the curve in a box, as SVG writes them: a step at each sample. Empty: there is no time between the samples yet. */
export function curvePoints(samples: readonly Sample[], width: number, height: number): string {
  const [first, last] = [samples[0], samples.at(-1)];
  if (first === undefined || last === undefined || last.atMs <= first.atMs) return "";
  const most = Math.max(1, ...samples.map(({ devices }) => devices));
  const point = (atMs: number, applied: number) => {
    const x = ((atMs - first.atMs) / (last.atMs - first.atMs)) * width;
    return `${x.toFixed(1)},${(height - (Math.min(applied, most) / most) * height).toFixed(1)}`;
  };
  return samples
    .flatMap(({ atMs, applied }, index) => {
      const before = samples[index - 1];
      return before === undefined || before.applied === applied ? [point(atMs, applied)] : [point(atMs, before.applied), point(atMs, applied)];
    })
    .join(" ");
}

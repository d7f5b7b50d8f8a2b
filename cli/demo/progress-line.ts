export type Progress = Readonly<{ app: string; revision: bigint; applied: number; failed: number; expected: number; seconds: number }>;

const WIDTH = 24;

/** One line that says how far a change has come: `hello @2   87/101 applied  ####################----  1.2 s` */
export function progressLine({ app, revision, applied, failed, expected, seconds }: Progress): string {
  const filled = expected === 0 ? WIDTH : Math.floor((applied / expected) * WIDTH);
  const bar = `${"#".repeat(filled)}${"-".repeat(WIDTH - filled)}`;
  const failures = failed === 0 ? "" : `  ${failed} failed`;
  return `${app} @${revision}  ${String(applied).padStart(String(expected).length)}/${expected} applied${failures}  ${bar}  ${seconds.toFixed(1)} s`;
}

import type { ClusterStage } from "../cluster-stage.ts";

/** A fault that is tried on a cluster while writers write. */
export type Fault = Readonly<{
  /** The fault, as the end of a test's name: "... after a shard was killed". */
  title: string;
  /**
   * Resolves when the fault is over. Asserts that it really happened, by a number that moved.
   * @param outageMs how long what is broken stays so
   */
  run: (stage: ClusterStage, outageMs: number) => Promise<void>;
  /** `npm test` tries it too; the others are tried by `npm run test:long` alone. */
  everyRun?: true;
  /** How far the clock of a shard is behind this machine's, milliseconds. */
  behindMs?: number;
}>;

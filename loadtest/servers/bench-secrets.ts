import { createHash } from "node:crypto";

/** What the parts of a bench trust each other by. */
export const BENCH_CLUSTER_KEY = "cluster key of the bench";

/** Of the configuration's admin, whose name is admin. */
export const BENCH_ADMIN_PASSWORD = "password of the bench";

/** The token of a bench's device: made of its number, so that its server and its fleet know it without asking each other. */
export function deviceToken(device: number): string {
  return createHash("sha256").update(`token of the bench's device ${device}`).digest("hex");
}

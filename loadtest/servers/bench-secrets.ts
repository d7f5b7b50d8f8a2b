/** What the parts of a bench trust each other by. */
export const BENCH_CLUSTER_KEY = "bench";

/** Of the configuration's admin, whose name is admin. */
export const BENCH_ADMIN_PASSWORD = "bench";

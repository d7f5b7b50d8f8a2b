/** The secret by which the parts of a bench trust each other. */
export const BENCH_CLUSTER_KEY = "cluster key of the bench";

/** Of the configuration's admin, whose name is admin. */
export const BENCH_ADMIN_PASSWORD = "password of the bench";

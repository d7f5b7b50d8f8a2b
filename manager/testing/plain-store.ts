import type { ConfigStore } from "../../common/storage/config-store.ts";

/** A store's methods as a plain object, so that a test can put its own in place of one. Disposing it leaves the store open. */
export function plainStore(store: ConfigStore): ConfigStore {
  return {
    cluster: store.cluster,
    readCluster: (signal) => store.readCluster(signal),
    get: (key, options) => store.get(key, options),
    getMany: (kind, names, options) => store.getMany(kind, names, options),
    revisions: (keys, signal) => store.revisions(keys, signal),
    write: (write, signal) => store.write(write, signal),
    list: (kind, page, signal) => store.list(kind, page, signal),
    names: (kind, page, signal) => store.names(kind, page, signal),
    namesInOtherCase: (key, signal) => store.namesInOtherCase(key, signal),
    groupsNaming: (kind, name, signal) => store.groupsNaming(kind, name, signal),
    history: (key, page, signal) => store.history(key, page, signal),
    rewriteBodies: (rewrite) => store.rewriteBodies(rewrite),
    raiseEpoch: (nowMs) => store.raiseEpoch(nowMs),
    markRunning: (mark, seconds, signal) => store.markRunning(mark, seconds, signal),
    runningComponents: (signal) => store.runningComponents(signal),
    becomeCluster: (identity) => store.becomeCluster(identity),
    records: store.records,
    async [Symbol.asyncDispose]() {},
  };
}

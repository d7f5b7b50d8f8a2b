import type { ConfigStore } from "../../common/storage/config-store.ts";

/** A store's methods as a plain object, so that a test can put its own in place of one. Disposing it leaves the store open. */
export function plainStore(store: ConfigStore): ConfigStore {
  return {
    cluster: store.cluster,
    get: (key, options) => store.get(key, options),
    getMany: (kind, names) => store.getMany(kind, names),
    revisions: (keys) => store.revisions(keys),
    write: (write) => store.write(write),
    list: (kind, page) => store.list(kind, page),
    namesInOtherCase: (key) => store.namesInOtherCase(key),
    groupsNaming: (kind, name) => store.groupsNaming(kind, name),
    history: (key, page) => store.history(key, page),
    rewriteBodies: (rewrite) => store.rewriteBodies(rewrite),
    raiseEpoch: (nowMs) => store.raiseEpoch(nowMs),
    async [Symbol.asyncDispose]() {},
  };
}

import { mergeConfig } from "../common/config/merge-config.ts";
import type { MergedState } from "../common/config/merged-state.ts";
import type { Config } from "../gen/nebula/v1/config_pb.ts";

/** What came of a config. `clusterChanged`: it is of another cluster, or a higher epoch, than the one before. */
export type Accepted = Readonly<
  { kind: "accepted"; state: MergedState; config: Config; etag: string; clusterChanged: boolean } | { kind: "ignored"; reason: string }
>;

/** Cluster ids that are remembered; each one was a cluster that this device followed, so there are few. */
const MOST_FOLLOWED = 100;

/**
 * The configs that came, merged (R3, R4).
 * K1 the etag is only held for bytes that count as they were received: after an ignored entry there is none, so that the server sends its config again.
 */
export class ConfigKeeper {
  #state: MergedState | undefined;
  #etag: string;
  #followed: readonly string[];

  /** @param followed the clusters that the data folder followed or took over; the newest last */
  constructor(state: MergedState | undefined, etag: string, followed: readonly string[]) {
    this.#state = state;
    this.#etag = etag;
    this.#followed = followed;
  }

  /** The cluster of the newest config is the last of these. */
  get followed(): readonly string[] {
    return this.#followed;
  }

  get etag(): string {
    return this.#etag;
  }

  accept(config: Config, etag: string): Accepted {
    const result = mergeConfig(this.#state, config);
    if (result.kind === "ignored") return result;
    const clusterChanged = result.kind === "new_cluster" && this.#state !== undefined;
    this.#state = result.state;
    this.#followed = [...this.#followed.filter((id) => id !== result.state.cluster.id), result.state.cluster.id].slice(-MOST_FOLLOWED);
    this.#etag = result.kind === "merged" && result.ignoredEntry ? "" : etag; // K1
    return { kind: "accepted", state: result.state, config: result.config, etag: this.#etag, clusterChanged };
  }
}

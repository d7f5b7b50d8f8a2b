import { mergeConfig } from "../common/config/merge-config.ts";
import type { MergedState } from "../common/config/merged-state.ts";
import type { Config } from "../gen/nebula/v1/config_pb.ts";

/** What came of a config. `clusterChanged`: it is of another cluster, or a higher epoch, than the one before. */
export type Accepted = Readonly<
  { kind: "accepted"; state: MergedState; config: Config; etag: string; clusterChanged: boolean } | { kind: "ignored"; reason: string }
>;

/**
 * The configs that came, merged (R3, R4).
 * K1 the etag is only held for bytes that count as they were received: after an ignored entry there is none, so that the server sends its config again.
 */
export class ConfigKeeper {
  #state: MergedState | undefined;
  #etag: string;

  constructor(state: MergedState | undefined, etag: string) {
    this.#state = state;
    this.#etag = etag;
  }

  get etag(): string {
    return this.#etag;
  }

  accept(config: Config, etag: string): Accepted {
    const result = mergeConfig(this.#state, config);
    if (result.kind === "ignored") return result;
    const clusterChanged = result.kind === "new_cluster" && this.#state !== undefined;
    this.#state = result.state;
    this.#etag = result.kind === "merged" && result.ignoredEntry ? "" : etag; // K1
    return { kind: "accepted", state: result.state, config: result.config, etag: this.#etag, clusterChanged };
  }
}

import { NebulaError } from "../../common/errors/nebula-error.ts";
import type { Config } from "../../gen/nebula/v1/config_pb.ts";
import type { Report } from "../../gen/nebula/v1/report_pb.ts";
import { LatestEvents, type WatchEvent } from "../connection/events.ts";
import type { Watch, WatchOptions } from "../connection/watch.ts";

/** A connection that a test plays: it says what comes, and sees what is sent. */
export class FakeConnection {
  readonly reports: Report[] = [];
  isUp = true;
  #events = new LatestEvents();
  #options: WatchOptions | undefined;

  readonly open = (options: WatchOptions): Watch => {
    this.#options = options;
    const events = new LatestEvents();
    this.#events = events;
    options.signal.addEventListener("abort", () => events.close());
    return {
      [Symbol.asyncIterator]: () => events[Symbol.asyncIterator](),
      submit: async (report) => {
        if (!this.isUp) throw new NebulaError("unavailable", "there is no connection to a manager now");
        this.reports.push(report);
      },
      loginChanged: () => {},
    };
  };

  say(event: WatchEvent): void {
    this.#events.put(event);
  }

  push(config: Config, etag: string): void {
    this.say({ kind: "config", config, etag });
  }

  /** The etag that the worker would send with its next watch. */
  get heldEtag(): string {
    return this.#options?.heldEtag() ?? "";
  }

  /** The Authorization header that the worker would send. */
  get authorization(): string | undefined {
    return this.#options?.authorization();
  }

  get newest(): Report | undefined {
    return this.reports.at(-1);
  }
}

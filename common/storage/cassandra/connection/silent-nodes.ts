import type { Clock } from "../../../clock/clock.ts";

/** How long a node may have requests and answer none before it counts as silent, milliseconds. */
const SILENT_MS = 500;
/** The shortest time between two looks at the requests in flight, milliseconds. */
const LOOK_MS = 50;

type Seen = Readonly<{ inFlight: number /** When there was an answer last, or no request to answer. */; since: number }>;

/**
 * Knows the nodes that take requests and say nothing: one that is paused, or cut off, keeps its open connections. The driver closes such a connection when several
 * requests that it waits for have no answer within their limit, and when a heartbeat has none, which it sends on an idle connection alone. A read that was answered
 * by a second coordinator counts for neither; so without this, a node that was asked for reads all the time would be asked for writes all the time too.
 *
 * 1. A node with requests in flight that has answered none for SILENT_MS is silent. An answer that nobody waits for any more counts: there are fewer requests in
 *    flight then.
 * 2. Silent nodes are asked after all others. They get no new request then, and the heartbeat decides.
 * 3. Requests that the driver makes of several nodes on its own account do not go to silent ones, unless no other is up.
 */
export class SilentNodes {
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #inFlight: () => Iterable<readonly [address: string, inFlight: number]>;
  #seen: ReadonlyMap<string, Seen> = new Map();
  readonly #answeredAt = new Map<string, number>();
  #lookedAt = Number.NEGATIVE_INFINITY;

  /** @param inFlight the requests in flight to each node that a connection is open to */
  constructor(clock: Pick<Clock, "monotonic">, inFlight: () => Iterable<readonly [address: string, inFlight: number]>) {
    this.#clock = clock;
    this.#inFlight = inFlight;
  }

  /** Notes an answer of a node. */
  answered(address: string): void {
    this.#answeredAt.set(address, this.#clock.monotonic());
  }

  isSilent(address: string): boolean {
    const seen = this.#seen.get(address);
    if (seen === undefined || seen.inFlight === 0) return false;
    return this.#clock.monotonic() - Math.max(seen.since, this.#answeredAt.get(address) ?? seen.since) > SILENT_MS;
  }

  /** The nodes of a plan, silent ones last (2); without them where the plan is the driver's own (3). */
  *order<Node extends { address: string; isUp(): boolean }>(
    plan: Iterator<Node>,
    { ofDriver }: Readonly<{ ofDriver: boolean }>,
  ): Generator<Node, void, void> {
    this.#look();
    const silent: Node[] = [];
    let othersUp = false;
    for (let next = plan.next(); next.done !== true; next = plan.next()) {
      if (this.isSilent(next.value.address)) silent.push(next.value);
      else {
        othersUp ||= next.value.isUp();
        yield next.value;
      }
    }
    if (!ofDriver || !othersUp) yield* silent;
  }

  #look(): void {
    const now = this.#clock.monotonic();
    if (now - this.#lookedAt < LOOK_MS) return;
    this.#lookedAt = now;
    const seen = new Map<string, Seen>();
    for (const [address, inFlight] of this.#inFlight()) {
      const before = this.#seen.get(address);
      const isAnswer = before === undefined || inFlight === 0 || inFlight < before.inFlight;
      seen.set(address, { inFlight, since: isAnswer ? now : before.since });
    }
    for (const address of this.#answeredAt.keys()) if (!seen.has(address)) this.#answeredAt.delete(address);
    this.#seen = seen;
  }
}

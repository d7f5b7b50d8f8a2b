import {
  type Client,
  type EmptyCallback,
  type ExecutionOptions,
  errors,
  type Host,
  type HostMap,
  policies,
  tracker,
  type types,
} from "cassandra-driver";
import type { Clock } from "../../../clock/clock.ts";
import { SilentNodes } from "./silent-nodes.ts";

const { DCAwareRoundRobinPolicy, LoadBalancingPolicy, TokenAwarePolicy } = policies.loadBalancing;

/** Notes the answers of nodes, and logs nothing: the driver takes trackers of its own class alone, and this is the one that it exports. */
class Answers extends tracker.RequestLogger {
  readonly #answered: (address: string) => void;

  constructor(answered: (address: string) => void) {
    super({});
    this.#answered = answered;
  }

  override onSuccess({ address }: Host): void {
    this.#answered(address);
  }

  override onError(...[{ address }, , , , , error]: Parameters<tracker.RequestTracker["onError"]>): void {
    if (error instanceof errors.ResponseError) this.#answered(address);
  }
}

/** Asks the replicas of a row first, in one data center: the one that is named, or else the only one. Nodes that say nothing come last. */
export class LocalPolicy extends LoadBalancingPolicy {
  /** For the client that has this policy. */
  readonly tracker = new Answers((address) => this.#silent.answered(address));
  readonly #named: string | undefined;
  readonly #silent: SilentNodes;
  #client: Client | undefined;
  #policy: policies.loadBalancing.LoadBalancingPolicy | undefined;
  #dataCenter = "";

  constructor(dataCenter: string | undefined, clock: Pick<Clock, "monotonic">) {
    super();
    this.#named = dataCenter;
    this.#silent = new SilentNodes(clock, () => this.#inFlight());
  }

  /** The data center that is asked; empty before the client is connected. */
  get dataCenter(): string {
    return this.#dataCenter;
  }

  override init(client: Client, hosts: HostMap, callback: EmptyCallback): void {
    const present = [...new Set(hosts.values().map(({ datacenter }) => datacenter))].filter((name) => typeof name === "string");
    const chosen = this.#named ?? (present.length === 1 ? present[0] : undefined);
    if (chosen === undefined || !present.includes(chosen)) {
      const given = this.#named === undefined ? "there are several data centers" : `there is no data center "${this.#named}"`;
      callback(new errors.ArgumentError(`${given}: give one of ${present.join(", ")} as ?dc=`));
      return;
    }
    this.#dataCenter = chosen;
    this.#client = client;
    this.#policy = new TokenAwarePolicy(new DCAwareRoundRobinPolicy(chosen));
    this.#policy.init(client, hosts, callback);
  }

  override getDistance(host: Host): types.distance {
    return this.#inner().getDistance(host);
  }

  override newQueryPlan(keyspace: string, options: ExecutionOptions, callback: (error: Error, iterator: Iterator<Host>) => void): void {
    const ofDriver = options === null; // of a statement that it prepares, and of its control connection
    this.#inner().newQueryPlan(keyspace, options, (error, plan) => callback(error, error ? plan : this.#silent.order(plan, { ofDriver })));
  }

  /** Whether a node takes requests and says nothing. */
  isSilent({ address }: Host): boolean {
    return this.#silent.isSilent(address);
  }

  override getOptions(): Map<string, object> {
    return new Map();
  }

  *#inFlight(): Generator<readonly [string, number]> {
    const state = this.#client?.getState();
    for (const host of state?.getConnectedHosts() ?? []) yield [host.address, state?.getInFlightQueries(host) ?? 0];
  }

  #inner(): policies.loadBalancing.LoadBalancingPolicy {
    if (this.#policy === undefined) throw new errors.DriverInternalError("the client is not connected yet");
    return this.#policy;
  }
}

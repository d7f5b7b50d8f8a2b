import { PullPolicy } from "../../gen/nebula/v1/container_pb.ts";
import type { Api } from "../harness/api.ts";
import { FOREVER } from "../harness/engine.ts";
import type { Dice } from "./dice.ts";

/** Host ports of one app: container i of a specification with base b has port b + i. */
const PORTS_PER_APP = 8;
const MOST_CONTAINERS = 3;

/** The apps that writers change while the engine is disturbed, and the device_group that names them. */
export class ChangedApps {
  readonly names: readonly string[];
  readonly #group: string;
  readonly #images: readonly string[];
  readonly #firstPort: number;
  readonly #dice: Dice;
  #members: readonly string[];
  #count = 0;

  /** Host ports that the apps may take, in a row. */
  static portsFor(names: readonly string[]): number {
    return names.length * PORTS_PER_APP;
  }

  constructor(group: string, names: readonly string[], options: Readonly<{ images: readonly string[]; firstPort: number; dice: Dice }>) {
    this.#group = group;
    this.names = names;
    this.#members = names;
    this.#images = options.images;
    this.#firstPort = options.firstPort;
    this.#dice = options.dice;
  }

  async create(api: Api): Promise<void> {
    for (const [i, name] of this.names.entries()) {
      await api.createApp({
        name,
        dockerImage: this.#dice.of(this.#images),
        command: FOREVER,
        pullPolicy: PullPolicy.MISSING,
        stopGraceSeconds: 2,
        minHealthyMs: 500,
        rollingRestart: i % 2 === 0,
        startingPorts: this.#ports(i),
        volumes: i % 3 === 0 ? [`${name}-data:/data`] : [],
      });
    }
    await api.createGroup(this.#group, [...this.names]);
  }

  /** Makes one random change by one call of the API; answers what it was. Rejects with the call's error. */
  async change(api: Api): Promise<string> {
    const index = this.#dice.below(this.names.length);
    const name = this.#dice.of(this.names.slice(index, index + 1));
    const number = String(++this.#count);
    const ways: readonly (readonly [string, () => Promise<unknown>])[] = [
      ["env_vars", () => api.updateApp(name, { envVars: { CHANGE: number } })],
      ["docker_image", () => api.updateApp(name, { dockerImage: this.#dice.of(this.#images), envVars: { CHANGE: number } })],
      ["containers_per", () => api.updateApp(name, { containersPer: { per: { case: "server", value: 1 + this.#dice.below(MOST_CONTAINERS) } } })],
      ["starting_ports", () => api.updateApp(name, { startingPorts: this.#ports(index) })],
      ["memory_limit_mb", () => api.updateApp(name, { memoryLimitMb: 16 + this.#dice.below(4) * 16 })],
      ["networks", () => api.updateApp(name, { networks: this.#dice.of([[], ["nebula"], ["bridge"]]) })],
      ["stop", () => api.stopApp(name)],
      ["start", () => api.startApp(name)],
      ["start", () => api.startApp(name)],
      ["members", () => this.#changeMembers(api, name)],
    ];
    const [what, way] = this.#dice.of(ways);
    await way();
    return what;
  }

  async #changeMembers(api: Api, name: string): Promise<void> {
    const members = this.#members.includes(name) ? this.#members.filter((each) => each !== name) : [...this.#members, name];
    await api.updateGroup(this.#group, [...members]);
    this.#members = members;
  }

  #ports(index: number): { hostPort: number; containerPort: number }[] {
    return [{ hostPort: this.#firstPort + index * PORTS_PER_APP + this.#dice.below(PORTS_PER_APP - MOST_CONTAINERS + 1), containerPort: 80 }];
  }
}

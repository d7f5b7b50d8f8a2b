import { requireDocker } from "../../common/testing/require-docker.ts";
import type { Api } from "./api.ts";
import type { Engine } from "./engine.ts";
import { Server, START_LIMIT_MS } from "./server.ts";
import { Worker, type WorkerOptions } from "./worker.ts";

/** One server for a suite; a worker with a device_group of its own for each test that asks for one. */
export class FleetRig {
  #server: Server | undefined;
  #opened = new AsyncDisposableStack();
  #last = new AsyncDisposableStack();
  #workers: Worker[] = [];
  readonly #engines = new Set<Engine>();
  #groups = 0;

  /** Hooks a rig into the suite that is being described. */
  static describe(): FleetRig {
    const rig = new FleetRig();
    before(async function () {
      this.timeout(START_LIMIT_MS);
      await requireDocker(this);
      rig.#server = await Server.start();
    });
    afterEach(async function () {
      this.timeout(60_000);
      if (this.currentTest?.state === "failed") await rig.#explain();
      rig.#workers = [];
      const [opened, last] = [rig.#opened, rig.#last];
      rig.#opened = new AsyncDisposableStack();
      rig.#last = new AsyncDisposableStack();
      await opened.disposeAsync().finally(() => last.disposeAsync());
    });
    after(async function () {
      this.timeout(60_000);
      // once more: what a worker had asked the engine for when it was killed may have come since
      for (const engine of rig.#engines) await engine.clean();
      await rig.#server?.[Symbol.asyncDispose]();
    });
    return rig;
  }

  get server(): Server {
    if (this.#server === undefined) throw new Error("the server is not up");
    return this.#server;
  }

  get api(): Api {
    return this.server.api;
  }

  /** A name that no other test uses. */
  name(prefix: string): string {
    return `${prefix}-${++this.#groups}`;
  }

  /** Starts a worker that follows a new group with these apps and cron_jobs; all it ran goes after the test. */
  async device(
    apps: string[],
    { cronJobs = [], ...options }: { cronJobs?: string[] } & Partial<WorkerOptions> = {},
  ): Promise<{ worker: Worker; engine: Engine; group: string }> {
    const group = options.deviceGroup ?? this.name("group");
    await this.api.createGroup(group, apps, cronJobs);
    const worker = this.#opened.use(await Worker.start({ server: this.server, ...options, deviceGroup: group }));
    this.#workers.push(worker);
    if (options.socket === undefined) this.#engines.add(worker.engine);
    return { worker, engine: worker.engine, group };
  }

  /** Prints what the workers of a test that failed last said and logged, and what the server logged. */
  async #explain(): Promise<void> {
    for (const { deviceId, program } of this.#workers) {
      const device = await (async () => this.api.device(deviceId))().catch(() => undefined); // there may be no server now
      const { report } = device ?? {};
      const said = report === undefined ? "nothing" : `state ${report.state}, report ${report.seq} about config ${report.etag}`;
      const apps = report?.apps.map(({ name, state, step, reason, revision }) => `${name} @${revision} ${state} ${step} ${reason}`) ?? [];
      console.log([`      ${deviceId} said ${said}:`, ...apps, "      and logged:", program.output.slice(-4000)].join("\n"));
    }
    console.log(["      The server logged:", this.#server?.program.output.slice(-2000)].join("\n"));
  }

  /** Has something disposed after the test. */
  use<T extends AsyncDisposable | Disposable>(resource: T): T {
    return this.#opened.use(resource);
  }

  /** Has something done after the test, in the opposite order. */
  defer(work: () => Promise<void> | void): void {
    this.#opened.defer(work);
  }

  /** Has something done after the test when its workers and their containers are gone: for the images, networks and volumes that these used. */
  deferLast(work: () => Promise<unknown>): void {
    this.#last.defer(async () => void (await work()));
  }
}

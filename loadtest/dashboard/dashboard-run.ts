import { readFileSync } from "node:fs";
import { loadavg } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import type { Browser, BrowserContext } from "playwright-core";
import { openChromium } from "../../common/testing/chromium.ts";
import { Fleet } from "../client/fleet.ts";
import { StolenTime } from "../measure/stolen-time.ts";
import type { Processors } from "../processes/processors.ts";
import { BENCH_ADMIN_PASSWORD } from "../servers/bench-secrets.ts";
import { type NebulaProgram, startProgram } from "../servers/nebula-program.ts";
import { createPushedApp, type PushedApp } from "../subjects/pushed-app.ts";
import { BenchTab, type BenchView, type FirstPaint, longestTaskCpuMs, workerHeapBytes } from "./bench-tab.ts";

export type DashboardRunOptions = Readonly<{
  devices: number;
  /** Times that each view is opened, each in a browser session of its own. */
  paints: number;
  /** Changes that are followed on each view. */
  changes: number;
  /** How long changes follow one another while the memory of the tabs is watched. */
  steadyMs: number;
  /** Between two of these changes. */
  everyMs: number;
  serverProcessors: Processors;
  fleetProcessors: Processors;
  signal: AbortSignal;
  say: (line: string) => void;
}>;

/** Views that are measured. */
export const MEASURED = ["overview", "group", "change"] as const;
export type Measured = (typeof MEASURED)[number];

export type ViewFigures = Readonly<{
  paints: readonly FirstPaint[];
  /** The longest task of the page in each change that it followed, milliseconds; 0: none took 50 ms. */
  longestTasks: readonly number[];
  /** The processor time of the longest task in each of these changes, milliseconds. */
  longestCpuMs: readonly number[];
  /** After a collection of garbage, at the start and from then on. */
  heapBytes: readonly number[];
}>;

export type EightTabs = Readonly<{ connections: number; streams: number; allShownMs: number }>;

export type DashboardFigures = Readonly<{
  views: Readonly<Record<Measured, ViewFigures>>;
  /** Of the worker that the tabs share, as those of the views. */
  workerHeapBytes: readonly number[];
  /** Changes that were made while the memory was watched. */
  steadyChanges: number;
  tabs: EightTabs;
  stolenShare: number;
  /** Processes that wanted a processor, a minute's average, at the start and at the end. */
  load: readonly [start: number, end: number];
}>;

/** Devices that connect before all of them ping: one that is silent for 30 s after its first config is taken for dead. */
const DEVICES_PER_SLICE = 2500;
const APP = "bench";
const PAYLOAD_BYTES = 2048;
const SAMPLE_MS = 50;
/** A number of streams counts that lasts this long, milliseconds. */
const LASTING_MS = 1000;
/** An idle server may use this share of a processor, looked at for this long. */
const IDLE_SHARE = 0.1;
const IDLE_LOOK_MS = 500;
const IDLE_AFTER_AT_MOST_MS = 20_000;
/** Streams that the dashboard opens. */
const STREAMS = /^nebula_server_streams\{method="[^"]*\/(?:WatchOverview|WatchApply)"\} (\d+)$/gm;

/** A server with connected devices, and a browser that looks at them. */
export async function runDashboard(options: DashboardRunOptions): Promise<DashboardFigures> {
  const { devices, paints, changes, fleetProcessors, serverProcessors, signal, say } = options;
  await using opened = new AsyncDisposableStack();
  const env = { NEBULA_HTTP_CONNECTIONS: "100" }; // files that a process may have open are for devices
  const server = opened.use(await startProgram({ part: "server", env, processors: serverProcessors, signal }));
  const app = await createPushedApp(server, PAYLOAD_BYTES, APP);
  const fleet = opened.use(new Fleet({ devices, processors: fleetProcessors, signal }));
  const target = await app.target(server.port);
  const slices = Math.ceil(devices / DEVICES_PER_SLICE);
  for (let slice = 0; slice < slices; slice++) {
    await fleet.connectSome(target, slice, slices);
    await fleet.ping();
  }
  say(`${devices} devices are connected`);
  const browser = await openChromium();
  opened.defer(() => browser.close());
  const bench = new Bench({ server, app, fleet, browser, devices });
  const [stolen, loadAtStart] = [new StolenTime(), loadavg()[0] ?? 0];
  return await stolen.during(async () => {
    await bench.change(); // the server counted the devices once, and the code of all parts is compiled
    const measured = new Map<Measured, Omit<ViewFigures, "heapBytes">>();
    for (const name of MEASURED) measured.set(name, { paints: await bench.paint(name, paints), ...(await bench.follow(name, changes)) });
    say("the views were opened, and followed changes");
    const steady = await bench.steady(options);
    say("the memory was watched");
    const tabs = await bench.eightTabs();
    const viewOf = (name: Measured): ViewFigures => ({
      ...(measured.get(name) ?? { paints: [], longestTasks: [], longestCpuMs: [] }),
      heapBytes: steady.heapBytes.get(name) ?? [],
    });
    const views = { overview: viewOf("overview"), group: viewOf("group"), change: viewOf("change") };
    return {
      views,
      workerHeapBytes: steady.workerHeapBytes,
      steadyChanges: steady.changes,
      tabs,
      stolenShare: stolen.share,
      load: [loadAtStart, loadavg()[0] ?? 0] as const,
    };
  });
}

type Parts = Readonly<{ server: NebulaProgram; app: PushedApp; fleet: Fleet; browser: Browser; devices: number }>;

class Bench {
  readonly #parts: Parts;
  #revision = 0n;
  /** Cookies of a login. */
  #login: Awaited<ReturnType<BrowserContext["storageState"]>> | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /**
   * Changes the app, and has each device report that it applied it; resolves when all reports were taken.
   * @param meanwhile begins when the write was answered, and is awaited
   */
  async change(meanwhile: (revision: bigint) => Promise<void> = async () => {}): Promise<bigint> {
    const { app, fleet } = this.#parts;
    this.#revision = app.nextRevision();
    const { arrived, reported } = await fleet.arm({ reports: { apps: app.apps, revision: this.#revision } });
    await app.push();
    await Promise.all([arrived, reported, meanwhile(this.#revision)]);
    return this.#revision;
  }

  /** When the view was there, in each of several browser sessions: nothing of it is in a cache. */
  async paint(name: Measured, times: number): Promise<FirstPaint[]> {
    const paints: FirstPaint[] = [];
    for (let time = 0; time < times; time++) {
      await using session = await this.#session();
      await this.#serverIsIdle();
      await using tab = await session.open(this.#view(name));
      paints.push(await tab.firstPaint());
    }
    return paints;
  }

  /** The longest task of a tab in each of several changes, until it shows that all devices applied it. That of a change is opened when the write was answered. */
  async follow(name: Measured, changes: number): Promise<Pick<ViewFigures, "longestTasks" | "longestCpuMs">> {
    const { browser, devices } = this.#parts;
    await using session = await this.#session();
    await using kept = name === "change" ? undefined : await session.open(this.#view(name));
    const longestTasks: number[] = [];
    const longestCpuMs: number[] = [];
    for (let change = 0; change < changes; change++) {
      await this.change(async (revision) => {
        const tab = kept ?? (await session.open(this.#view(name)));
        await tab.longestTask(); // those of before
        longestCpuMs.push(await longestTaskCpuMs(browser, () => tab.showsApplied(devices, revision)));
        longestTasks.push(await tab.longestTask());
        if (kept === undefined) await tab[Symbol.asyncDispose]();
      });
    }
    return { longestTasks, longestCpuMs };
  }

  /** The memory of a tab of each view, while changes follow one another. */
  async steady({ steadyMs, everyMs, signal }: DashboardRunOptions) {
    await using session = await this.#session();
    const tabs = await Promise.all(MEASURED.map((name) => session.open(this.#view(name))));
    await this.change();
    const heapBytes = new Map<Measured, number[]>(MEASURED.map((name) => [name, []]));
    const workerBytes: number[] = [];
    const measure = async () => {
      workerBytes.push(await workerHeapBytes(this.#parts.browser));
      for (const tab of tabs) if (tab.view.name !== "devices") heapBytes.get(tab.view.name)?.push(await tab.heapBytes());
    };
    await measure();
    const end = performance.now() + steadyMs;
    let changes = 0;
    for (; changes === 0 || performance.now() < end; changes++) {
      await this.change();
      await delay(everyMs, undefined, { signal });
      await measure();
    }
    return { heapBytes, workerHeapBytes: workerBytes, changes };
  }

  /** Eight tabs of one browser, which follow a change: the connections and streams that they have at most, and how long after its last report all show it. */
  async eightTabs(): Promise<EightTabs> {
    const { devices } = this.#parts;
    await using session = await this.#session();
    // a change that has no stream is read by one that ends at once, so the tabs of a change, which are looked at last, are of one change
    const names = ["overview", "overview", "group", "group", "devices", "devices", "change", "change"] as const;
    const tabs: BenchTab[] = [];
    for (const name of names) tabs.push(await session.open(this.#view(name)));
    await this.#serverIsIdle(); // streams that were given up have ended
    const over = new AbortController();
    const sampling = this.#mostUsed(over.signal);
    try {
      const revision = await this.change();
      const reportedAt = performance.now();
      await Promise.all(tabs.map((tab) => tab.showsApplied(devices, revision)));
      const allShownMs = performance.now() - reportedAt;
      await delay(2 * LASTING_MS); // a small fleet is done sooner than that
      over.abort();
      return { ...(await sampling), allShownMs };
    } finally {
      over.abort();
      await sampling;
    }
  }

  /** Connections to the server over HTTP, and open streams of the dashboard, until the signal: the most of each. */
  async #mostUsed(signal: AbortSignal): Promise<Omit<EightTabs, "allShownMs">> {
    const { server } = this.#parts;
    let connections = 0;
    const streams: Sample[] = [];
    while (!signal.aborted) {
      connections = Math.max(connections, connectionsTo(Number(new URL(server.url).port)));
      streams.push({ atMs: performance.now(), count: await streamsOf(server) });
      await delay(SAMPLE_MS, undefined, { signal }).catch(() => {});
    }
    return { connections, streams: mostThatLasts(streams, LASTING_MS) };
  }

  /** Waits until the server has nothing to do, for a while at most: what is measured is the page. */
  async #serverIsIdle(): Promise<void> {
    const { server } = this.#parts;
    for (let waited = 0; waited < IDLE_AFTER_AT_MOST_MS; waited += IDLE_LOOK_MS) {
      const before = server.figures().cpuMs;
      await delay(IDLE_LOOK_MS);
      if (server.figures().cpuMs - before <= IDLE_LOOK_MS * IDLE_SHARE) return;
    }
  }

  #view(name: BenchView["name"]): BenchView {
    const { app } = this.#parts;
    const paths: Readonly<Record<BenchView["name"], string>> = {
      overview: "/ui/",
      group: `/ui/groups/${app.deviceGroup}`,
      change: `/ui/changes/app/${APP}/${this.#revision}`,
      devices: "/ui/devices",
    };
    return { name, path: paths[name] };
  }

  /** A browser session that is logged in, and has nothing in its cache. */
  async #session() {
    const { browser, server } = this.#parts;
    this.#login ??= await logIn(browser, server.url);
    const context = await browser.newContext({ storageState: this.#login, viewport: { width: 1440, height: 900 } });
    return {
      open: (view: BenchView) => BenchTab.open(context, server.url, view),
      [Symbol.asyncDispose]: () => context.close(),
    };
  }
}

/** The cookies of a login by the form. */
async function logIn(browser: Browser, url: string) {
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    await page.goto(`${url}/ui/`);
    await page.getByLabel("User").fill("admin");
    await page.getByLabel("Password").fill(BENCH_ADMIN_PASSWORD);
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByRole("button", { name: "Log out" }).waitFor();
    return await context.storageState();
  } finally {
    await context.close();
  }
}

/** Open connections to a port of this machine, as the kernel lists them at their callers. */
function connectionsTo(port: number): number {
  const remote = `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const lines = readFileSync("/proc/net/tcp", "utf8").split("\n");
  return lines.filter((line) => line.includes(` ${remote} 01 `)).length;
}

export type Sample = Readonly<{ atMs: number; count: number }>;

/** The largest count that lasted this long; 0 where none did. A stream that a browser gave up for another one ends at the server a moment later. */
export function mostThatLasts(samples: readonly Sample[], lastingMs: number): number {
  const lasted = samples.map(({ atMs }, index) => {
    const end = samples.findIndex((later) => later.atMs >= atMs + lastingMs);
    return end < 0 ? 0 : Math.min(...samples.slice(index, end + 1).map(({ count }) => count));
  });
  return Math.max(0, ...lasted);
}

/** Open streams of overviews and changes. */
async function streamsOf({ metricsUrl }: NebulaProgram): Promise<number> {
  const text = await (await fetch(metricsUrl)).text();
  return [...text.matchAll(STREAMS)].reduce((sum, [, count]) => sum + Number(count), 0);
}

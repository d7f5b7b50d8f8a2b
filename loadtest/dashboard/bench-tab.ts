import { setTimeout as delay } from "node:timers/promises";
import type { Browser, BrowserContext, CDPSession, Page } from "playwright-core";
import { NebulaError } from "../../common/errors/nebula-error.ts";

/** A view that the bench opens, and its path. */
export type BenchView = Readonly<{ name: "overview" | "group" | "change" | "devices"; path: string }>;

/** When a view was there, milliseconds since its address was asked for. */
export type FirstPaint = Readonly<{
  /** The first text of it (first-contentful-paint). */
  paintMs: number;
  /** Its numbers, and the rows of its list where it has one. */
  shownMs: number;
}>;

const SHOWN_LIMIT_MS = 120_000;
const LOOK_EVERY_MS = 25;

/** The selectors that say that all of a view is shown: each of these is there. */
const SHOWN: Readonly<Record<BenchView["name"], readonly string[]>> = {
  overview: [".legend-count", 'table[aria-label="Device groups"] tbody tr[aria-rowindex]'],
  group: [".legend-count", 'table[aria-label="Devices"] tbody tr[aria-rowindex]'],
  change: ['[data-count="applied"]'],
  devices: ['table[aria-label="Devices"] tbody tr[aria-rowindex]'],
};

/** Runs in the page before its own scripts: notes when the view was shown, and each task of 50 ms or more. */
function noteScript(selectors: readonly string[]): string {
  return `{
    const noted = { shownAt: undefined, tasks: [] };
    window.bench = noted;
    new PerformanceObserver((list) => noted.tasks.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: "longtask", buffered: true });
    const observer = new MutationObserver(() => {
      if (!${JSON.stringify(selectors)}.every((selector) => document.querySelector(selector) !== null)) return;
      noted.shownAt = performance.now();
      observer.disconnect();
    });
    observer.observe(document, { childList: true, subtree: true });
  }`;
}

/** A tab of the dashboard that is measured. */
export class BenchTab implements AsyncDisposable {
  readonly view: BenchView;
  readonly #page: Page;
  readonly #cdp: CDPSession;

  private constructor(view: BenchView, page: Page, cdp: CDPSession) {
    this.view = view;
    this.#page = page;
    this.#cdp = cdp;
  }

  /** Opens a tab of a browser that is logged in; resolves when all of its view is shown. */
  static async open(context: BrowserContext, url: string, view: BenchView): Promise<BenchTab> {
    const page = await context.newPage();
    await page.addInitScript(noteScript(SHOWN[view.name]));
    await page.goto(`${url}${view.path}`, { waitUntil: "commit", timeout: SHOWN_LIMIT_MS });
    await becomesTrue(page, "window.bench?.shownAt !== undefined");
    return new BenchTab(view, page, await context.newCDPSession(page));
  }

  async firstPaint(): Promise<FirstPaint> {
    const paint = 'performance.getEntriesByName("first-contentful-paint")[0]';
    await becomesTrue(this.#page, `${paint} !== undefined`);
    const [paintMs, shownMs]: readonly [number, number] = await this.#page.evaluate(`[${paint}.startTime, window.bench.shownAt]`);
    return { paintMs, shownMs };
  }

  /** The longest task since the last call, milliseconds; 0 where none took 50 ms. */
  async longestTask(): Promise<number> {
    return await this.#page.evaluate("Math.max(0, ...window.bench.tasks.splice(0))");
  }

  /** Bytes of the objects of its page after a collection of garbage. */
  async heapBytes(): Promise<number> {
    await this.#cdp.send("HeapProfiler.collectGarbage");
    await this.#cdp.send("Performance.enable");
    const { metrics } = await this.#cdp.send("Performance.getMetrics");
    return metrics.find(({ name }) => name === "JSHeapUsedSize")?.value ?? Number.NaN;
  }

  /**
   * Resolves when it shows that all devices applied this revision, or newer ones.
   * @param revision of the app that is changed
   */
  async showsApplied(devices: number, revision: bigint): Promise<void> {
    const count = devices.toLocaleString("en-US");
    const shown: Readonly<Record<BenchView["name"], string>> = {
      overview: `${legendOf("applied")} === "${count}" && document.querySelector(".changes li")?.textContent.includes("revision ${revision.toLocaleString("en-US")} ")`,
      group: `${legendOf("applied")} === "${count}" && document.querySelector('table[aria-label="Members"] tbody')?.textContent.includes("${revision.toLocaleString("en-US")}")`,
      change: `document.querySelector('[data-count="applied"]')?.textContent === "${count}" && (location.pathname.endsWith("/${revision}") || document.querySelector(".notice")?.textContent.includes("revision ${revision}"))`,
      devices: `[...document.querySelectorAll('table[aria-label="Devices"] tbody .state')].length > 0 && !document.querySelector('table[aria-label="Devices"] .state-working')`,
    };
    await becomesTrue(this.#page, shown[this.view.name]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#page.close();
  }
}

/** Bytes of the objects of the worker that the tabs of a browser share, after a collection of garbage. There must be one. */
export async function workerHeapBytes(browser: Browser): Promise<number> {
  const cdp = await browser.newBrowserCDPSession();
  try {
    const { targetInfos } = await cdp.send("Target.getTargets", { filter: [{ type: "shared_worker" }] });
    const [worker, ...others] = targetInfos;
    if (worker === undefined || others.length > 0) throw new NebulaError("internal", `the tabs share ${targetInfos.length} workers`);
    const { sessionId } = await cdp.send("Target.attachToTarget", { targetId: worker.targetId, flatten: false });
    const ask = async (id: number, method: string): Promise<{ usedSize?: number }> => {
      const { promise, resolve } = Promise.withResolvers<string>();
      const onMessage = ({ message }: { message: string }) => {
        if (JSON.parse(message).id === id) resolve(message);
      };
      cdp.on("Target.receivedMessageFromTarget", onMessage);
      await cdp.send("Target.sendMessageToTarget", { sessionId, message: JSON.stringify({ id, method }) });
      return JSON.parse(await promise).result;
    };
    await ask(1, "HeapProfiler.collectGarbage");
    return (await ask(2, "Runtime.getHeapUsage")).usedSize ?? Number.NaN;
  } finally {
    await cdp.detach();
  }
}

type TraceEvent = Readonly<{
  name: string;
  pid: number;
  tid: number;
  /** Processor time, microseconds. */
  tdur?: number;
  args?: Readonly<{ name?: string }>;
}>;

/** The processor time of the longest task of any page of a browser during an act, milliseconds: what others on the same processors take is not in it. */
export async function longestTaskCpuMs(browser: Browser, act: () => Promise<void>): Promise<number> {
  await browser.startTracing(undefined, { categories: ["toplevel", "disabled-by-default-devtools.timeline"] });
  let trace: Buffer | undefined;
  try {
    await act();
  } finally {
    trace = await browser.stopTracing();
  }
  return longestTaskIn(trace.toString("utf8"));
}

/** @param trace as Chromium writes it; 0 where it has no task */
export function longestTaskIn(trace: string): number {
  const { traceEvents }: { traceEvents: readonly TraceEvent[] } = JSON.parse(trace);
  const threadOf = ({ pid, tid }: TraceEvent) => `${pid}/${tid}`;
  const ofPages = new Set(traceEvents.filter(({ name, args }) => name === "thread_name" && args?.name === "CrRendererMain").map(threadOf));
  const tasks = traceEvents.filter((event) => event.name === "RunTask" && ofPages.has(threadOf(event)));
  return tasks.reduce((longest, { tdur = 0 }) => Math.max(longest, tdur / 1000), 0);
}

/** Waits for an expression of the page; its Content-Security-Policy has no scripts made of text, so the page itself can't be asked to wait. */
async function becomesTrue(page: Page, expression: string): Promise<void> {
  const end = performance.now() + SHOWN_LIMIT_MS;
  while ((await page.evaluate(expression)) !== true) {
    if (performance.now() > end) throw new NebulaError("deadline_exceeded", `waited ${SHOWN_LIMIT_MS / 1000} s at ${page.url()} for ${expression}`);
    await delay(LOOK_EVERY_MS);
  }
}

/** The number of devices in a state, as a part of an expression in the page. */
function legendOf(state: string): string {
  return `[...document.querySelectorAll(".legend li")].find((item) => item.querySelector(".legend-word").textContent === "${state}")?.querySelector(".legend-count").textContent`;
}

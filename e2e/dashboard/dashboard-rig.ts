import { strict as assert } from "node:assert";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { openChromium, requireChromium } from "../../common/testing/chromium.ts";
import type { Api } from "../harness/api.ts";
import { startSimulated } from "../harness/in-process-worker.ts";
import { Server, START_LIMIT_MS } from "../harness/server.ts";
import type { ServerOptions } from "../harness/server-processes.ts";

/** A server with simulated devices, and a browser, for a suite; each test opens pages of its own. */
export class DashboardRig {
  #server: Server | undefined;
  #browser: Browser | undefined;
  #suite = new AsyncDisposableStack();
  #test = new AsyncDisposableStack();

  /** Hooks a rig into the suite that is being described. @param prepare what is done once the server is up */
  static describe(prepare: (rig: DashboardRig) => Promise<void> = async () => {}, options: ServerOptions = {}): DashboardRig {
    const rig = new DashboardRig();
    before(async function () {
      this.timeout(START_LIMIT_MS);
      requireChromium(this);
      rig.#server = rig.#suite.use(await Server.start(options));
      const browser = await openChromium();
      rig.#suite.defer(() => browser.close());
      rig.#browser = browser;
      await prepare(rig);
    });
    afterEach(async () => {
      const opened = rig.#test;
      rig.#test = new AsyncDisposableStack();
      await opened.disposeAsync();
    });
    after(async function () {
      this.timeout(60_000);
      await rig.#suite.disposeAsync();
    });
    return rig;
  }

  get server(): Server {
    return this.#server ?? assert.fail("the server is not up");
  }

  get api(): Api {
    return this.server.api;
  }

  /** Starts devices on simulated engines, GROUP-1 and so on, until the end of the suite. */
  async devices(deviceGroup: string, count: number): Promise<void> {
    const starts = Array.from({ length: count }, (_, index) =>
      startSimulated({ server: this.server, deviceGroup, deviceId: `${deviceGroup}-${index + 1}` }),
    );
    for (const start of await Promise.allSettled(starts)) {
      if (start.status === "rejected") throw start.reason;
      this.#suite.use(start.value);
    }
  }

  /** Has something disposed after the suite. */
  use<T extends AsyncDisposable>(resource: T): T {
    return this.#suite.use(resource);
  }

  /**
   * Opens a window of its own browser session, at an address of the dashboard. The window closes with the test.
   * @param url of another gateway than that of the server
   */
  async open(path = "/ui/", options: BrowserContextOptions = {}, url = this.server.url): Promise<DashboardPage> {
    const browser = this.#browser ?? assert.fail("the browser is not up");
    const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
    this.#test.defer(() => context.close());
    const page = new DashboardPage(await context.newPage(), { url, password: this.server.password });
    await page.page.goto(`${url}${path}`);
    return page;
  }
}

/** Creates two apps of one host port: a device that has both is refused it for the second, kiosk, and fails. */
export async function createTillAndKiosk(api: Api): Promise<void> {
  for (const name of ["till", "kiosk"]) await api.createApp({ name, dockerImage: "busybox:1", startingPorts: [{ hostPort: 80, containerPort: 80 }] });
}

/** A tab of the dashboard, and all that went wrong in it. */
export class DashboardPage {
  readonly page: Page;
  /** Errors of the console and of scripts, requests to other origins, and addresses that were not found. */
  readonly faults: string[] = [];
  readonly #server: Pick<Server, "url" | "password">;

  constructor(page: Page, server: Pick<Server, "url" | "password">) {
    this.page = page;
    this.#server = server;
    page.on("console", (message) => {
      // a browser reports each refused call: that there is no login yet is one
      if (message.type() === "error" && !/status of 401/.test(message.text())) this.faults.push(`console: ${message.text()}`);
    });
    page.on("pageerror", (error) => this.faults.push(`script: ${error.message}`));
    page.context().on("request", (request) => {
      if (!request.url().startsWith(server.url)) this.faults.push(`other origin: ${request.url()}`);
    });
    page.context().on("response", (response) => {
      if (response.status() === 404) this.faults.push(`not found: ${response.url()}`);
    });
  }

  /** Logs in by the form, as the local admin unless another user is given; resolves when a view is shown. */
  async login(user = "admin", password = this.#server.password): Promise<void> {
    await this.page.getByLabel("User").fill(user);
    await this.page.getByLabel("Password").fill(password);
    await this.page.getByRole("button", { name: "Log in" }).click();
    await this.page.getByRole("button", { name: "Log out" }).waitFor();
  }

  /** The number that a link or text of this name shows. */
  async number(name: RegExp): Promise<number> {
    const label = await this.page.getByRole("link", { name }).first().innerText();
    return Number(label.replaceAll(",", ""));
  }

  assertNoFaults(): void {
    assert.deepEqual(this.faults, []);
  }
}

import { strict as assert } from "node:assert";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../common/testing/eventually.ts";
import { DOCKER_SOCKET } from "../common/testing/require-docker.ts";
import { TargetState } from "../gen/nebula/v1/report_pb.ts";
import { FOREVER, IMAGE } from "./harness/engine.ts";
import { FleetRig } from "./harness/fleet-rig.ts";

/** The machine's Docker Engine behind a socket proxy that refuses its events, as proxies for containers do. */
class EventlessProxy implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "nebula-e2e-proxy-"));
  readonly socket = join(this.#folder, "docker.sock");
  readonly #server = createServer((asked, answer) => this.#serve(asked, answer));
  /** When each request for events came, milliseconds since 1970. */
  readonly refused: number[] = [];

  static async start(): Promise<EventlessProxy> {
    const proxy = new EventlessProxy();
    proxy.#server.listen(proxy.socket);
    await once(proxy.#server, "listening");
    return proxy;
  }

  #serve(asked: IncomingMessage, answer: ServerResponse): void {
    const { url: path = "", method, headers } = asked;
    if (/^(\/v[\d.]+)?\/events(\?|$)/.test(path)) {
      this.refused.push(Date.now());
      answer.writeHead(403, { "content-type": "text/html" }).end("<html><body><h1>403 Forbidden</h1></body></html>");
      return;
    }
    const passed = request({ socketPath: DOCKER_SOCKET, path, method, headers }, (response) => {
      answer.writeHead(response.statusCode ?? 502, response.headers);
      response.on("error", () => answer.destroy()).pipe(answer);
    });
    passed.on("error", () => answer.destroy());
    answer.on("close", () => passed.destroy());
    asked.pipe(passed);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

describe("an engine whose events a proxy refuses", function () {
  this.timeout(150_000);
  const rig = FleetRig.describe();

  it("is reported, follows changes at once and drift within 30 s, and is not asked for events without end", async () => {
    const proxy = rig.use(await EventlessProxy.start());
    const web = rig.name("web");
    await rig.api.createApp({ name: web, dockerImage: IMAGE, command: FOREVER, envVars: { VERSION: "1" } });
    const { worker, engine } = await rig.device([web], { socket: proxy.socket });
    await engine.settled(web, 1);
    const problems = async () => (await rig.api.device(worker.deviceId))?.report?.problems ?? [];
    await eventually(async () => (await problems()).some(({ code }) => code === "events_unavailable"), { timeoutMs: 30_000, everyMs: 200 });
    const [problem] = await problems();
    assert.match(problem?.message ?? "", /events can't be read \(.*403.*\); the worker looks every 30 s instead/);

    const { revision } = await rig.api.updateApp(web, { envVars: { VERSION: "2" } });
    const [changed] = await engine.settled(web, 1, ({ Config }) => Config.Env.includes("VERSION=2"));
    assert.ok(changed);
    await rig.api.appStatus(worker.deviceId, web, (app) => app.state === TargetState.APPLIED && app.revision === revision);
    await engine.docker.getContainer(changed.Id).remove({ force: true });
    await engine.settled(web, 1, ({ Id }) => Id !== changed.Id, 45_000);

    // Three refusals, then waits of 1 s, 2 s, 4 s, ...: one more request each time that the whole time doubles.
    const { refused } = proxy;
    const seconds = (Date.now() - (refused[0] ?? 0)) / 1000;
    const most = 3 + Math.ceil(Math.log2(seconds + 1)) + 1;
    assert.ok(refused.length >= 4 && refused.length <= most, `${refused.length} requests for events in ${seconds} s, at most ${most} expected`);
  });
});

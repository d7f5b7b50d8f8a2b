import { strict as assert } from "node:assert";
import { connect } from "node:net";
import { Registry } from "prom-client";
import { systemClock } from "../../common/clock/system-clock.ts";
import { createMemoryFeed } from "../../common/feed/memory-feed.ts";
import { silentLog } from "../../common/log/log.ts";
import { type RunningGateway, startGateway } from "../main.ts";
import { type Answers, StandInManager } from "./stand-in-manager.ts";

export const CLUSTER_KEY = "a key for this test alone";
export const LOGIN = `Basic ${Buffer.from("admin:pässword").toString("base64")}`;
export const CREATE = "/nebula.v1.AppService/CreateApp";
export const WATCH = "/nebula.v1.ConfigService/WatchConfig";

export type Json = Record<string, unknown>;

export async function gatewayFor(
  managers: readonly StandInManager[],
  change: Partial<Parameters<typeof startGateway>[0]> & { authEnabled?: boolean; dashboard?: boolean } = {},
) {
  const urls = managers.map(({ port }) => ({ protocol: "grpc", host: "127.0.0.1", port }) as const);
  const settings = {
    httpListen: { host: "127.0.0.1", port: 0 },
    grpcListen: { host: "127.0.0.1", port: 1 },
    managers: urls,
    authEnabled: change.authEnabled ?? true,
    dashboard: change.dashboard ?? false,
  };
  return await startGateway({
    settings,
    secrets: { clusterKey: CLUSTER_KEY },
    changeFeed: createMemoryFeed({ log: silentLog }),
    clock: systemClock,
    log: silentLog,
    registry: new Registry(),
    stopMs: 2000,
    ...change,
  });
}

/** A gateway on a stand-in manager, for one suite; before each test the manager has seen nothing, and answers nothing. */
export class GatewayRig {
  readonly answers: Answers = {};
  #manager: StandInManager | undefined;
  #gateway: RunningGateway | undefined;

  /** Hooks a rig into the suite that is being described. */
  static describe(): GatewayRig {
    const rig = new GatewayRig();
    before(async () => {
      rig.#manager = await StandInManager.start(rig.answers);
      rig.#gateway = await gatewayFor([rig.#manager]);
    });
    after(async () => {
      await rig.#gateway?.stop();
      await rig.#manager?.[Symbol.asyncDispose]();
    });
    beforeEach(() => {
      rig.manager.seen.length = 0;
      rig.manager.cancelled = 0;
      for (const key of ["createApp", "getApp", "watchConfig", "check"] as const) delete rig.answers[key];
    });
    return rig;
  }

  get manager(): StandInManager {
    return this.#manager ?? assert.fail("the manager is not up");
  }

  get gateway(): RunningGateway {
    return this.#gateway ?? assert.fail("the gateway is not up");
  }
}

export function urlOf(gateway: RunningGateway, path = ""): string {
  return `http://127.0.0.1:${gateway.address.port}${path}`;
}

export function post(
  gateway: RunningGateway,
  path: string,
  body: BodyInit,
  headers: Record<string, string> = {},
  signal?: AbortSignal,
): Promise<Response> {
  return fetch(urlOf(gateway, path), {
    method: "POST",
    body,
    headers: { "content-type": "application/json", authorization: LOGIN, ...headers },
    ...(signal === undefined ? {} : { signal }),
  });
}

export async function errorOf(response: Response): Promise<{ status: number; code: unknown; message: string; details: unknown }> {
  const { code, message, details }: Json = await response.json();
  return { status: response.status, code, message: String(message), details };
}

/** The lines of an answer as they come. */
export async function* linesOf(response: Response): AsyncGenerator<Json> {
  assert.ok(response.body);
  let text = "";
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
      yield JSON.parse(text.slice(0, end));
      text = text.slice(end + 1);
    }
  }
}

/** Sends bytes as they are, and answers the first line of what comes back; empty when the connection was ended without an answer. */
export function raw(gateway: RunningGateway, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(gateway.address.port, "127.0.0.1", () => socket.end(text));
    let got = "";
    socket.on("data", (chunk) => {
      got += chunk;
    });
    socket.on("end", () => resolve(got.split("\r\n")[0] ?? ""));
    socket.on("error", reject);
  });
}

export const app = { name: "web", dockerImage: "shop:1", revision: 1n };

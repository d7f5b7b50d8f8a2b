import { strict as assert } from "node:assert";
import { Registry } from "prom-client";
import { newToken } from "../../common/access/tokens.ts";
import { systemClock } from "../../common/clock/system-clock.ts";
import { silentLog } from "../../common/log/log.ts";
import { type GatewaySettings, type RunningGateway, startGateway } from "../../gateway/main.ts";
import { type ManagerRig, startManagerRig, TEST_SECRETS } from "../../manager/testing/manager-rig.ts";
import { putTestUser } from "../../manager/testing/test-access.ts";

export const STATUS = "/nebula.v1.StatusService/GetStatus";
export const ANN = { user: "ann", password: "correct horse" };
export const JSON_TYPE = { "content-type": "application/json" };
export const FORM_TYPE = { "content-type": "application/x-www-form-urlencoded" };

export type Headers = Readonly<Record<string, string>>;

export async function gatewayOf(manager: ManagerRig, settings: Partial<GatewaySettings> = {}): Promise<RunningGateway> {
  return startGateway({
    settings: {
      httpListen: { host: "127.0.0.1", port: 0 },
      grpcListen: { host: "127.0.0.1", port: manager.port },
      managers: [{ protocol: "grpc", host: "127.0.0.1", port: manager.port }],
      authEnabled: true,
      dashboard: true,
      ...settings,
    },
    secrets: { clusterKey: TEST_SECRETS.clusterKey },
    changeFeed: manager.drivers.changeFeed,
    clock: systemClock,
    log: silentLog,
    registry: new Registry(),
    stopMs: 2000,
  });
}

/** The cookie as a browser sends it back. */
export function cookieIn(response: Response): string {
  const [cookie = "", ...more] = response.headers.getSetCookie();
  assert.deepEqual(more, []);
  return cookie.split(";")[0] ?? "";
}

/** A manager and a gateway for a suite, with the calls of a page of the gateway's own; the user ann is as at first before each test. */
export class BrowserLoginRig {
  readonly annsToken = newToken();
  #manager: ManagerRig | undefined;
  #gateway: RunningGateway | undefined;
  /** Time that passed for the manager between tests: each begins with few logins behind it. */
  #passedMs = 0;

  /** Hooks a rig into the suite that is being described. */
  static describe(): BrowserLoginRig {
    const rig = new BrowserLoginRig();
    before(async () => {
      rig.#manager = await startManagerRig({ clock: { ...systemClock, monotonic: () => systemClock.monotonic() + rig.#passedMs } });
      rig.#gateway = await gatewayOf(rig.#manager);
    });
    after(async () => {
      await rig.#gateway?.stop();
      await rig.#manager?.[Symbol.asyncDispose]();
    });
    beforeEach(async () => {
      rig.#passedMs += 30 * 60_000;
      const { accessStore, changeFeed } = rig.manager.drivers;
      await putTestUser(accessStore, ANN.user, { password: ANN.password, token: rig.annsToken });
      changeFeed.publish({ kind: "access", subject: `user/${ANN.user}` });
    });
    return rig;
  }

  get manager(): ManagerRig {
    return this.#manager ?? assert.fail("the manager is not up");
  }

  /** The origin of the gateway. */
  get own(): string {
    const { address } = this.#gateway ?? assert.fail("the gateway is not up");
    return `http://127.0.0.1:${address.port}`;
  }

  post(path: string, body: string, headers: Headers = {}): Promise<Response> {
    return fetch(this.own + path, { method: "POST", body, redirect: "manual", headers: { ...JSON_TYPE, origin: this.own, ...headers } });
  }

  login(fields: object, headers: Headers = {}): Promise<Response> {
    return this.post("/ui/login", JSON.stringify(fields), headers);
  }

  /** The cookie of a login that is accepted. */
  async loggedIn(fields: object = ANN): Promise<string> {
    const response = await this.login(fields);
    assert.equal(response.status, 200, await response.clone().text());
    return cookieIn(response);
  }

  /** The user for whom the gateway takes a call; the code of the refusal, where it does not. */
  async who(cookie: string, headers: Headers = {}): Promise<unknown> {
    const answer: { user?: unknown; code?: unknown } = await (await this.post(STATUS, "{}", { cookie, ...headers })).json();
    return answer.user ?? answer.code;
  }

  /** How many sessions of a user are valid. */
  async sessionsOf(user: string): Promise<number> {
    return (await this.manager.drivers.accessStore.listSessions({ user, nowMs: Date.now() }, { limit: 100 })).items.length;
  }
}

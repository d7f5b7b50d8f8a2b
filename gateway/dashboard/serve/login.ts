import { create, isMessage, type Message } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { invalidArgument, isNebulaError, NebulaError } from "../../../common/errors/nebula-error.ts";
import { sendJson } from "../../../common/http/send.ts";
import { AccessService, type CreateSessionResponse, CreateSessionResponseSchema } from "../../../gen/nebula/v1/access_pb.ts";
import { forwardHeaders } from "../../api/forwarder.ts";
import { sendError } from "../../http/errors.ts";
import type { Exchange, Route } from "../../http/exchange.ts";
import type { ManagerPool } from "../../managers/manager-pool.ts";
import { UI_HEADERS } from "./headers.ts";
import { cookieOf, cookieTokensOf, noCookie, ownPageOf, type PageScheme } from "./session-cookie.ts";

const LOGIN = "/ui/login";
const LOGOUT = "/ui/logout";
/** The longest body of a login, bytes. */
const LONGEST_BODY = 8192;
const TIMEOUT_MS = 60_000;

export type LoginRoutesDeps = Readonly<{ pool: Pick<ManagerPool, "unary">; partToken: string }>;

/**
 * Login and logout of browsers. `POST /ui/login` takes `user` and `password`, or `token`, as JSON, and sets the cookie of a
 * session; `POST /ui/logout` ends the session and removes the cookie. Both are for pages of this host alone: a form, which
 * sends `Origin: null` by the Referrer-Policy of the page, can't log in.
 */
export function loginRoutes({ pool, partToken }: LoginRoutesDeps): readonly Route[] {
  async function call(exchange: Exchange, name: "createSession" | "deleteSession", authorization: string): Promise<Message> {
    const gone = new AbortController();
    const onClose = () => gone.abort(new NebulaError("cancelled", "the caller went away"));
    exchange.response.once("close", onClose);
    try {
      const method = AccessService.method[name];
      const headers = forwardHeaders(authorization, exchange.caller, partToken);
      return await pool.unary(method, create(method.input), { signal: gone.signal, headers, timeoutMs: TIMEOUT_MS });
    } finally {
      exchange.response.off("close", onClose);
    }
  }

  async function makeSession(exchange: Exchange, authorization: string): Promise<CreateSessionResponse> {
    try {
      const answer = await call(exchange, "createSession", authorization);
      if (isMessage(answer, CreateSessionResponseSchema)) return answer;
      throw new NebulaError("internal", "a manager answered CreateSession with something else");
    } catch (error) {
      if (!isNebulaError(error, "unauthenticated")) throw error;
      throw new NebulaError("unauthenticated", "wrong user or password, or wrong token", { cause: error });
    }
  }

  async function login(exchange: Exchange, page: PageScheme): Promise<void> {
    const { response } = exchange;
    const { session, token } = await makeSession(exchange, await authorizationIn(exchange));
    response.setHeader("set-cookie", cookieOf(token, page));
    const expiresAt = session?.expiresAt === undefined ? {} : { expires_at: timestampDate(session.expiresAt).toISOString() };
    sendJson(response, 200, { user: session?.user ?? "", ...expiresAt });
  }

  async function logout(exchange: Exchange, page: PageScheme): Promise<void> {
    const { request, response } = exchange;
    await exchange.body.drop();
    response.setHeader("set-cookie", noCookie(page)); // also where the session can't be ended now: nobody else has its token
    const failures: unknown[] = [];
    for (const token of cookieTokensOf(request, page)) {
      try {
        await call(exchange, "deleteSession", `Bearer ${token}`);
      } catch (error) {
        if (!isNebulaError(error, "unauthenticated")) failures.push(error); // it has ended before
      }
    }
    if (failures.length > 0) throw failures[0];
    sendJson(response, 200, {});
  }

  const route = (prefix: string, handle: (exchange: Exchange, page: PageScheme) => Promise<void>): Route => ({
    prefix,
    headers: { ...UI_HEADERS, "cache-control": "no-store" },
    async handle(exchange) {
      const { request, response } = exchange;
      if (request.method !== "POST") {
        response.setHeader("allow", "POST");
        return sendError(response, new ConnectError(`${prefix} is called by POST`, Code.Unimplemented), 405);
      }
      const page = ownPageOf(request);
      if (page === undefined) {
        return sendError(response, new ConnectError("only a page of this host may call this, with its Origin", Code.PermissionDenied));
      }
      await handle(exchange, page);
    },
  });
  return [route(LOGIN, login), route(LOGOUT, logout)];
}

/** The Authorization that the body of a login stands for. Throws `invalid_argument`, which names the field and repeats no value. */
async function authorizationIn(exchange: Exchange): Promise<string> {
  const body = await exchange.body.readSmall(LONGEST_BODY);
  const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString("utf8");
  const { user, password, token, ...others } = fieldsOfJson(text);
  const [other] = Object.keys(others);
  if (other !== undefined) throw wrong("body", "has another field; use user and password, or token");
  if (token !== undefined && user === undefined && password === undefined) return `Bearer ${token}`;
  if (token !== undefined || user === undefined || password === undefined) throw wrong("body", "is not a login; use user and password, or token");
  if (user.includes(":")) throw wrong("user", "holds a colon, which no name has");
  return `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
}

function fieldsOfJson(text: string): Record<string, string> {
  const value = parsed(text);
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw wrong("body", "is not a JSON object; use user and password, or token");
  const fields: Record<string, string> = Object.create(null);
  for (const [name, field] of Object.entries(value)) {
    if (typeof field !== "string") throw wrong("body", "has a field that is not a text");
    fields[name] = field;
  }
  return fields;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function wrong(field: string, description: string): NebulaError {
  return invalidArgument([{ field, description }]);
}

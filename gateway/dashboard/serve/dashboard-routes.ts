import type { IncomingMessage, ServerResponse } from "node:http";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { Code, ConnectError } from "@connectrpc/connect";
import { shown } from "../../../common/text/wording.ts";
import { sendError } from "../../http/errors.ts";
import type { Exchange, Route } from "../../http/exchange.ts";
import type { Page, PageFile } from "./build-page.ts";
import { UI_HEADERS } from "./headers.ts";
import { loadPage } from "./load-page.ts";

/** Where the dashboard is. Each address below it that is not a file of the page is one of its views. */
const UI = "/ui";
const ASSETS = `${UI}/assets/`;

/** Serves the dashboard at /ui/, and leads a browser there that asks for `/`. Its files are loaded at the first request. */
export function dashboardRoutes(load: () => Promise<Page> = loadPage): readonly Route[] {
  let loading: Promise<Page> | undefined;
  const page = () => {
    loading ??= load().catch((error) => {
      loading = undefined; // the next request tries again
      throw error;
    });
    return loading;
  };

  async function serve(exchange: Exchange): Promise<void> {
    const { response, path } = exchange;
    if (refusesMethod(exchange)) return;
    if (path === UI) return void redirect(response, `${UI}/`);
    const { document, assets } = await page();
    if (!path.startsWith(ASSETS)) {
      // another version of the page loads files of other names
      return await sendFile(exchange, document, { "cache-control": "no-cache" });
    }
    const asset = assets.get(path.slice(ASSETS.length));
    if (asset === undefined) return sendError(response, new ConnectError(`nothing is at ${shown(path)}: reload the dashboard`, Code.NotFound));
    await sendFile(exchange, asset, { "cache-control": "public, max-age=31536000, immutable" });
  }

  function lead({ request, response, path }: Exchange): void {
    if (request.method === "GET" && /\btext\/html\b/.test(request.headers.accept ?? "")) return void redirect(response, `${UI}/`);
    const hint = `there is the API at /nebula.v1.<service>/<method> (POST, content-type: application/json), and the dashboard at ${UI}/`;
    sendError(response, new ConnectError(`nothing is at ${path}: ${hint}`, Code.Unimplemented), 404);
  }

  return [
    { prefix: UI, headers: UI_HEADERS, handle: serve },
    { prefix: "/", exact: true, handle: lead },
  ];
}

/** Answers a request that is neither GET nor HEAD; whether it did. */
function refusesMethod({ request, response }: Exchange): boolean {
  if (request.method === "GET" || request.method === "HEAD") return false;
  response.setHeader("allow", "GET, HEAD");
  sendError(response, new ConnectError("the dashboard is read by GET", Code.Unimplemented), 405);
  return true;
}

function redirect(response: ServerResponse, location: string): void {
  response.writeHead(302, { location, "cache-control": "no-store", "content-length": 0 }).end();
}

/** Files without their compression, for clients that cannot read it: made once, so requests that are not read to their end share one copy. */
const plainFiles = new WeakMap<PageFile, Promise<Uint8Array>>();

function plain(file: PageFile): Promise<Uint8Array> {
  const content = plainFiles.get(file) ?? promisify(gunzip)(file.gzip);
  plainFiles.set(file, content);
  return content;
}

async function sendFile({ request, response }: Exchange, file: PageFile, headers: Readonly<Record<string, string>>): Promise<void> {
  const zipped = takesGzip(request);
  const body = zipped ? file.gzip : await plain(file);
  if (response.headersSent || response.destroyed) return;
  response.writeHead(200, {
    ...headers,
    ...(zipped ? { "content-encoding": "gzip" } : {}),
    vary: "accept-encoding",
    "content-type": file.contentType,
    "content-length": body.byteLength,
  });
  response.end(request.method === "HEAD" ? undefined : body);
}

function takesGzip({ headers }: IncomingMessage): boolean {
  const codings = String(headers["accept-encoding"] ?? "").split(",");
  return codings.some((coding) => /^\s*(?:gzip|x-gzip|\*)\s*(?:;|$)/.test(coding) && !/;\s*q=0(?:\.0{1,3})?\s*$/.test(coding));
}

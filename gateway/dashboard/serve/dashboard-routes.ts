import type { ServerResponse } from "node:http";
import { promisify } from "node:util";
import { brotliDecompress, gzip } from "node:zlib";
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

/** In the order in which they are preferred; "": without compression. Browsers take Brotli over TLS and from this machine, gzip elsewhere. */
const CODINGS = ["br", "gzip", ""] as const;
type Coding = (typeof CODINGS)[number];

/** Files for clients that cannot read Brotli: made once, so requests that are not read to their end share one copy. */
const otherwiseCoded = { gzip: new WeakMap<PageFile, Promise<Uint8Array>>(), "": new WeakMap<PageFile, Promise<Uint8Array>>() };

function coded(file: PageFile, coding: Coding): Promise<Uint8Array> {
  if (coding === "br") return Promise.resolve(file.brotli);
  const kept = otherwiseCoded[coding];
  const content =
    kept.get(file) ?? (coding === "" ? promisify(brotliDecompress)(file.brotli) : coded(file, "").then((text) => promisify(gzip)(text)));
  kept.set(file, content);
  return content;
}

async function sendFile({ request, response }: Exchange, file: PageFile, headers: Readonly<Record<string, string>>): Promise<void> {
  const coding = codingFor(String(request.headers["accept-encoding"] ?? ""));
  const body = await coded(file, coding);
  if (response.headersSent || response.destroyed) return;
  response.writeHead(200, {
    ...headers,
    ...(coding === "" ? {} : { "content-encoding": coding }),
    vary: "accept-encoding",
    "content-type": file.contentType,
    "content-length": body.byteLength,
  });
  response.end(request.method === "HEAD" ? undefined : body);
}

/** The preferred coding of those that an Accept-Encoding header names without q=0. */
function codingFor(accepted: string): Coding {
  const named = accepted.split(",").flatMap((each) => {
    const [name = "", ...parameters] = each.split(";").map((part) => part.trim());
    return parameters.some((parameter) => /^q=0(?:\.0{1,3})?$/.test(parameter)) ? [] : [name.toLowerCase()];
  });
  return (
    CODINGS.find((coding) => coding === "" || named.includes(coding) || (coding === "gzip" && (named.includes("x-gzip") || named.includes("*")))) ??
    ""
  );
}

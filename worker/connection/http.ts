import { type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { messageOf, NebulaError } from "../../common/errors/nebula-error.ts";
import { codeOf } from "../../common/errors/system-reason.ts";
import { speaksHttp2 } from "../../common/rpc/speaks-http2.ts";
import { withCertificateHint } from "../../common/tls/certificate-trouble.ts";
import type { ClientTls } from "../../common/tls/client-tls.ts";

/** The longest answer that is read, bytes: a shard map is far below. */
const LONGEST_ANSWER = 1024 * 1024;

export type PostJson = Readonly<{
  url: string;
  body: string;
  headers: Readonly<Record<string, string>>;
  tls: ClientTls;
  /** Milliseconds, for all of it. */
  limitMs: number;
  signal: AbortSignal;
}>;

/**
 * One POST, on a connection of its own. No redirect is followed: none may lead from TLS to clear text. (`fetch` costs a small worker 20 MB more.)
 * Rejects with `unavailable` or `deadline_exceeded`.
 */
export async function postJson({ url, body, headers, tls, limitMs, signal }: PostJson): Promise<{ status: number; text: string }> {
  const limit = AbortSignal.timeout(limitMs);
  const options = {
    method: "POST",
    agent: false,
    signal: AbortSignal.any([signal, limit]),
    headers: { ...headers, "content-type": "application/json", "connect-protocol-version": "1", "content-length": Buffer.byteLength(body) },
    minVersion: "TLSv1.2",
    ...(tls.ca !== undefined && { ca: tls.ca }),
    ...tls.pair,
  } as const;
  try {
    const response = await answered(url.startsWith("https:") ? httpsRequest(url, options) : httpRequest(url, options), body);
    return { status: response.statusCode ?? 0, text: await bodyOf(response) };
  } catch (error) {
    if (limit.aborted) throw new NebulaError("deadline_exceeded", `${url} did not answer within ${limitMs} ms`, { cause: error });
    if (await isManager(url, error))
      throw new NebulaError("unavailable", `${url} does not answer in HTTP: if it is a manager, write grpc://`, { cause: error });
    throw new NebulaError("unavailable", `${url} cannot be reached: ${withCertificateHint(messageOf(error))}`, { cause: error });
  }
}

/** How long a look at what a server speaks may take, milliseconds. */
const LOOK_MS = 1000;

/** Whether gRPC is spoken where HTTP/1.1 was not understood. */
async function isManager(url: string, error: unknown): Promise<boolean> {
  const code = codeOf(error) ?? "";
  if (!url.startsWith("http:") || !(code === "ECONNRESET" || code === "EPIPE" || code.startsWith("HPE_"))) return false;
  const { hostname, port } = new URL(url);
  return await speaksHttp2({ host: hostname.replace(/^\[|\]$/g, ""), port: Number(port || 80) }, LOOK_MS);
}

function answered(request: ClientRequest, body: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.on("response", resolve);
    request.on("error", reject);
    request.end(body);
  });
}

async function bodyOf(response: IncomingMessage): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response) {
    if (!(chunk instanceof Uint8Array)) continue;
    size += chunk.byteLength;
    if (size > LONGEST_ANSWER) throw new Error(`the answer is longer than ${LONGEST_ANSWER} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

import type { ServerResponse } from "node:http";

/** Answers with JSON, on a line of its own so that a terminal shows it well. */
export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  send(response, status, "application/json", `${JSON.stringify(body)}\n`);
}

/** Answers with a text. */
export function sendText(response: ServerResponse, status: number, body: string): void {
  send(response, status, "text/plain; charset=utf-8", body);
}

/** Answers as a whole; nothing happens where an answer has begun already. */
export function send(response: ServerResponse, status: number, contentType: string, body: string): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, { "content-type": contentType, "content-length": Buffer.byteLength(body), "x-content-type-options": "nosniff" });
  response.end(response.req.method === "HEAD" ? undefined : body);
}

import type { IncomingMessage, ServerResponse } from "node:http";
import { Code, ConnectError } from "@connectrpc/connect";
import { sendError } from "./errors.ts";
import { HTTP_LIMITS } from "./http-limits.ts";

/** Bounds what the bodies of all requests may hold. Small ones, which nearly all are, always pass, and are not counted. */
export class LargeRequests {
  readonly #limits: Readonly<{ inAll: number; small: number }>;
  #held = 0;

  constructor(limits: Readonly<{ inAll: number; small: number }> = { inAll: HTTP_LIMITS.heldBytes, small: HTTP_LIMITS.smallBytes }) {
    this.#limits = limits;
  }

  /** Counts a request until it is answered; false: it is one too many, and was answered so. */
  admits(request: IncomingMessage, response: ServerResponse): boolean {
    const bytes = bytesOf(request);
    if (bytes <= this.#limits.small) return true;
    if (this.#held + bytes > this.#limits.inAll) {
      response.setHeader("connection", "close"); // its body is not read
      response.setHeader("retry-after", "1");
      sendError(response, new ConnectError("too many large requests are under way: send it again in a moment", Code.Unavailable));
      return false;
    }
    this.#held += bytes;
    response.once("close", () => {
      this.#held -= bytes;
    });
    return true;
  }
}

/** How much of a body is kept at the most; one that does not say how long it is may be as long as the longest. */
function bytesOf({ headers }: IncomingMessage): number {
  if (headers["transfer-encoding"] !== undefined) return HTTP_LIMITS.bodyBytes;
  return Math.min(Number(headers["content-length"] ?? 0), HTTP_LIMITS.bodyBytes);
}

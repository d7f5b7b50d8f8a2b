import type { Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";

/** How long a call may take, milliseconds; a stream has no limit. */
const CALL_MS = 20_000;

/** Calls of the API of this origin, with the cookie of the session. */
export function createTransport(): Transport {
  const transport = createConnectTransport({
    baseUrl: location.origin,
    useBinaryFormat: true,
    fetch: (input, init) => fetch(input, { ...init, credentials: "same-origin", redirect: "error" }),
  });
  return {
    unary: (method, signal, timeoutMs, ...rest) => transport.unary(method, signal, timeoutMs ?? CALL_MS, ...rest),
    stream: (...call) => transport.stream(...call),
  };
}

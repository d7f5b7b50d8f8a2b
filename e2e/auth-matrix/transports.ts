import { type DescMethod, type DescMethodServerStreaming, type Message, toBinary, toJsonString } from "@bufbuild/protobuf";
import { status as codes } from "@grpc/grpc-js";
import { pathOf } from "../../common/rpc/service-definition.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { API_SERVICES } from "../../gateway/api/forwarder.ts";
import { RawClient } from "../../manager/testing/raw-client.ts";
import { ReportingWatch } from "../../manager/testing/reporting-watch.ts";
import type { CallerName, Headers } from "./cast.ts";

/** A way to the managers: makes a call, and answers the name of the code that it ended with; of a stream that opens, OK. */
export type Transport = Readonly<{
  name: string;
  serves(method: DescMethod): boolean;
  /** @param then follows on the stream of the request: the name is that of the code with which it is answered there */
  call(method: DescMethod, request: Message, headers: Headers, then?: Message): Promise<string>;
  /** The caller that a login over this transport makes: a part token from outside is not a login. */
  callerHere(caller: CallerName): CallerName;
}>;

/** gRPC, straight to a manager. */
export function grpcTransport(port: number): Transport & AsyncDisposable {
  const client = new RawClient(port);
  return {
    name: "gRPC",
    serves: () => true,
    callerHere: (caller) => caller,
    call(method, request, headers, then) {
      if (then !== undefined) return onStream(client, method, [request, then], headers);
      const stream = client.call(pathOf(method), toBinary(method.input, request), headers);
      return new Promise((resolve) => {
        const note = (received: Readonly<Record<string, unknown>>) => {
          const status = received["grpc-status"];
          if (status !== undefined) resolve(codes[Number(status)] ?? `code ${status}`);
        };
        stream.on("response", note);
        stream.on("trailers", note);
        stream.on("close", () => resolve("closed without a status"));
        stream.on("data", () => {
          if (method.methodKind !== "unary") stream.close(); // the first answer of a stream: it is open
          if (method.methodKind !== "unary") resolve("OK");
        });
      });
    },
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  };
}

/** Sends requests of WatchAndReport on one stream; answers the code of the answer to the second, or of the stream where that is refused. */
async function onStream(client: RawClient, method: DescMethod, requests: readonly Message[], headers: Headers): Promise<string> {
  const watch = new ReportingWatch(client, headers, pathOf(method)).send(...requests.map((request) => toBinary(method.input, request)));
  const code = await eventually(() => watch.reported[0]?.code ?? watch.status ?? false, { everyMs: 1 });
  watch.stream.close();
  await watch.closed;
  return codes[code] ?? `code ${code}`;
}

/** Connect, through a gateway: unary calls in protobuf, streams as lines of JSON. */
export function connectTransport(url: string): Transport {
  const served = new Set(API_SERVICES.map(({ typeName }) => typeName));
  return {
    name: "Connect",
    serves: ({ parent, methodKind }) => served.has(parent.typeName) && methodKind !== "bidi_streaming",
    callerHere: (caller) => (caller === "part" ? "anonymous" : caller),
    async call(method, request, headers) {
      const gone = new AbortController();
      const response = await fetch(`${url}/${method.parent.typeName}/${method.name}`, {
        method: "POST",
        headers: { ...headers, "content-type": isStream(method) ? "application/json" : "application/proto" },
        body: isStream(method) ? toJsonString(method.input, request) : new Uint8Array(toBinary(method.input, request)),
        signal: gone.signal,
      });
      if (response.status !== 200) {
        const error: { code?: unknown } = await response.json();
        return String(error.code).toUpperCase();
      }
      if (isStream(method)) await response.body?.getReader().read();
      else await response.arrayBuffer();
      gone.abort();
      return "OK";
    },
  };
}

function isStream(method: DescMethod): method is DescMethodServerStreaming {
  return method.methodKind === "server_streaming";
}

import type { DescService } from "@bufbuild/protobuf";
import { type ConnectionInjector, Server, ServerCredentials, type ServerInterceptor, type UntypedHandleCall } from "@grpc/grpc-js";
import { readMessage } from "../../common/protobuf/binary-message.ts";
import { serviceDefinition } from "../../common/rpc/service-definition.ts";

/** A service with what serves its methods, by local name. */
export type ServedService = Readonly<{ service: DescService; methods: Readonly<Record<string, UntypedHandleCall>> }>;

/**
 * A gRPC server for these services, and the way to hand it connections, whose bytes are HTTP/2: TLS is before it.
 * There are no keepalive, idle or age timers: they cost 1.2 KB per device, and a device's own pings are what tells that it is there.
 */
export function createGrpcServer(
  services: readonly ServedService[],
  interceptors: ServerInterceptor[],
): { server: Server; injector: ConnectionInjector } {
  const server = new Server({
    interceptors,
    "grpc.enable_channelz": 0,
    "grpc.max_receive_message_length": GRPC_LIMITS.requestBytes,
    "grpc.max_send_message_length": -1,
    "grpc.max_concurrent_streams": GRPC_LIMITS.streamsPerConnection,
    "grpc-node.max_session_memory": GRPC_LIMITS.connectionMemoryMb,
  });
  limitHttp2(server);
  for (const { service, methods } of services) server.addService(serviceDefinition(service, readMessage), methods);
  return { server, injector: server.createConnectionInjector(ServerCredentials.createInsecure()) };
}

/** Limits of Node's HTTP/2 that grpc-js passes on none of. A grpc-js that keeps its options elsewhere has Node's own: those are wider, or the same. */
function limitHttp2(server: Server): void {
  const options: unknown = Reflect.get(server, "commonServerOptions");
  if (typeof options !== "object" || options === null) return;
  const { streamsPerConnection, headerBytes, headers, settingsPerFrame, resets } = GRPC_LIMITS;
  Object.assign(options, {
    settings: { maxConcurrentStreams: streamsPerConnection, maxHeaderListSize: headerBytes },
    maxHeaderListPairs: headers,
    maxSettings: settingsPerFrame,
    streamResetBurst: resets.burst,
    streamResetRate: resets.perSecond,
  });
}

/** The limits of one connection to a manager; docs/limits.md names each. */
export const GRPC_LIMITS = {
  /** A request's message; a larger one is RESOURCE_EXHAUSTED. */
  requestBytes: 4 * 1024 * 1024,
  /** Calls at once. More wait in the client; a gateway opens more connections. */
  streamsPerConnection: 1000,
  /** Headers of one call, as HTTP/2 counts them (32 bytes and both lengths each), and how many. */
  headerBytes: 16 * 1024,
  headers: 128,
  settingsPerFrame: 32,
  /** Calls that the client takes back: above it the connection is ended. A gateway takes back the calls that its callers do. */
  resets: { burst: 5000, perSecond: 500 },
  /** Memory of a connection in which HTTP/2 takes new calls, MB: answers that nobody reads are most of it. */
  connectionMemoryMb: 256,
} as const;

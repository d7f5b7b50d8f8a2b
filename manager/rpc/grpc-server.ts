import type { DescService } from "@bufbuild/protobuf";
import { type ConnectionInjector, Server, ServerCredentials, type ServerInterceptor, type UntypedHandleCall } from "@grpc/grpc-js";
import { serviceDefinition } from "../../common/rpc/service-definition.ts";
import { GRPC_LIMITS } from "./grpc-limits.ts";

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
  for (const { service, methods } of services) server.addService(serviceDefinition(service), methods);
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

import type { DescService } from "@bufbuild/protobuf";
import { type ConnectionInjector, Server, ServerCredentials, type ServerInterceptor, type UntypedHandleCall } from "@grpc/grpc-js";
import { serviceDefinition } from "../../common/rpc/service-definition.ts";

/** A service with what serves its methods, by local name. */
export type ServedService = Readonly<{ service: DescService; methods: Readonly<Record<string, UntypedHandleCall>> }>;

/** What a request may measure, bytes. */
const RECEIVE_LIMIT = 4 * 1024 * 1024;

/**
 * A gRPC server for these services, and the way to hand it connections.
 * There are no keepalive, idle or age timers: they cost 1.2 KB per device, and a device's own pings are what tells that it is there.
 */
export function createGrpcServer(
  services: readonly ServedService[],
  interceptors: ServerInterceptor[],
): { server: Server; injector: ConnectionInjector } {
  const server = new Server({
    interceptors,
    "grpc.enable_channelz": 0,
    "grpc.max_receive_message_length": RECEIVE_LIMIT,
    "grpc.max_send_message_length": -1,
  });
  for (const { service, methods } of services) server.addService(serviceDefinition(service), methods);
  return { server, injector: server.createConnectionInjector(ServerCredentials.createInsecure()) };
}

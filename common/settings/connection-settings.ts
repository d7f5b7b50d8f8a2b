import { setting } from "./define-setting.ts";
import { wholeNumber } from "./parse-word.ts";

/** How many connections the listeners hold. */
export const CONNECTION_SETTINGS = {
  grpcConnections: setting({
    variable: "NEBULA_GRPC_CONNECTIONS",
    parse: wholeNumber(1, 10_000_000),
    fallback: 1_000_000,
    defaultText: "1000000, or what the limit of open files leaves",
    parts: ["manager"],
    meaning: "Open gRPC connections in all; one more is closed at once.",
  }),
  grpcConnectionsPerAddress: setting({
    variable: "NEBULA_GRPC_CONNECTIONS_PER_ADDRESS",
    parse: wholeNumber(1, 10_000_000),
    fallback: 5000,
    defaultText: "5000",
    parts: ["manager"],
    meaning: "Open gRPC connections of one IPv4 address or IPv6 /64; loopback is not counted. Raise it where a load balancer stands in front.",
  }),
  httpConnections: setting({
    variable: "NEBULA_HTTP_CONNECTIONS",
    parse: wholeNumber(1, 10_000_000),
    fallback: 10_000,
    defaultText: "10000, or what the limit of open files leaves",
    parts: ["gateway"],
    meaning: "Open HTTP connections in all; one more is closed at once.",
  }),
  httpConnectionsPerAddress: setting({
    variable: "NEBULA_HTTP_CONNECTIONS_PER_ADDRESS",
    parse: wholeNumber(1, 10_000_000),
    fallback: 1000,
    defaultText: "1000",
    parts: ["gateway"],
    meaning: "Open HTTP connections of one IPv4 address or IPv6 /64; loopback is not counted. Raise it where a load balancer stands in front.",
  }),
};

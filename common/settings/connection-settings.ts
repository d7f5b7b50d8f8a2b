import { oneOf, orUndefined, parseText, wholeNumber } from "./parsers.ts";
import { setting } from "./setting.ts";

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

/** The certificates of the listeners, and of the clients that dial them. */
export const TLS_SETTINGS = {
  tlsCert: setting({
    variable: "NEBULA_TLS_CERT",
    parse: orUndefined(parseText),
    fallback: undefined,
    defaultText: "none: clear text",
    parts: ["manager", "gateway"],
    meaning: "PEM file of the server's certificate, with its intermediates: gRPC and HTTP then speak TLS alone. Read again when it changes.",
  }),
  tlsKey: setting({
    variable: "NEBULA_TLS_KEY",
    parse: orUndefined(parseText),
    fallback: undefined,
    defaultText: "none",
    parts: ["manager", "gateway"],
    meaning: "PEM file of the private key of NEBULA_TLS_CERT.",
  }),
  tlsClientCa: setting({
    variable: "NEBULA_TLS_CLIENT_CA",
    parse: orUndefined(parseText),
    fallback: undefined,
    defaultText: "none",
    parts: ["manager", "gateway"],
    meaning: "PEM file of the authorities whose client certificates are taken.",
  }),
  tlsClientAuth: setting({
    variable: "NEBULA_TLS_CLIENT_AUTH",
    parse: orUndefined(oneOf("off", "optional", "required")),
    fallback: undefined,
    defaultText: "required with NEBULA_TLS_CLIENT_CA, else off",
    parts: ["manager", "gateway"],
    meaning: "Whether clients show a certificate. `optional`: none will do, a wrong one will not. It comes before the login, and replaces none.",
  }),
  tlsCa: setting({
    variable: "NEBULA_TLS_CA",
    parse: orUndefined(parseText),
    fallback: undefined,
    defaultText: "those that come with Node",
    parts: ["gateway", "worker"],
    meaning: "PEM file of the authorities that a server's certificate has to be of (`https://`, `grpcs://`). nebulactl reads it, too.",
  }),
  tlsClientCert: setting({
    variable: "NEBULA_TLS_CLIENT_CERT",
    parse: orUndefined(parseText),
    fallback: undefined,
    defaultText: "none",
    parts: ["gateway", "worker"],
    meaning: "PEM file of the certificate to show to a server that asks for one. nebulactl reads it, too.",
  }),
  tlsClientKey: setting({
    variable: "NEBULA_TLS_CLIENT_KEY",
    parse: orUndefined(parseText),
    fallback: undefined,
    defaultText: "none",
    parts: ["gateway", "worker"],
    meaning: "PEM file of the private key of NEBULA_TLS_CLIENT_CERT.",
  }),
};

import { setting } from "./define-setting.ts";
import { oneOf, parseText } from "./parse-word.ts";
import { orUndefined } from "./parsed.ts";

/** The certificates of the listeners, and of whoever dials them. */
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

/** The messages of OpenSSL and Node about an untrusted certificate; gRPC passes on nothing but the message of the error. */
const UNTRUSTED = /self[- ]signed certificate|unable to (?:verify|get)[a-z ]{0,40} certificate|certificate has expired|certificate's altnames/i;

/** The reason of a failed connection, with what to do where the server's certificate is not trusted. */
export function withCertificateHint(reason: string): string {
  if (!UNTRUSTED.test(reason)) return reason;
  return `${reason}; if the certificate is of an authority of your own, --tls-ca, or NEBULA_TLS_CA, names a file with that authority's`;
}

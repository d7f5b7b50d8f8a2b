import type { Server, TLSSocket, TlsOptions } from "node:tls";
import type { Log } from "../log/log.ts";
import type { TlsSettings } from "../settings/settings.ts";
import { type KeyPair, readAuthorities, readKeyPair } from "./read-pem.ts";
import { ReloadedFiles } from "./reloaded-files.ts";

/** The limit of a TLS handshake, milliseconds. */
export const HANDSHAKE_MS = 10_000;

type ServerFiles = KeyPair & Readonly<{ ca: Buffer | undefined }>;

/** The TLS of a listener, reloaded when its files change. */
export class ServerTls implements Disposable {
  readonly #files: ReloadedFiles<ServerFiles>;
  readonly #clientAuth: TlsSettings["clientAuth"];

  private constructor(files: ReloadedFiles<ServerFiles>, clientAuth: TlsSettings["clientAuth"]) {
    this.#files = files;
    this.#clientAuth = clientAuth;
  }

  /** undefined: clear text. Rejects with `failed_precondition` if a file is invalid. */
  static async open(settings: TlsSettings | undefined, log: Log): Promise<ServerTls | undefined> {
    const { cert, key, clientCa, clientAuth = "off" } = settings ?? {};
    if (cert === undefined || key === undefined) return undefined;
    const files = [
      { setting: "NEBULA_TLS_CERT", path: cert, secret: false },
      { setting: "NEBULA_TLS_KEY", path: key, secret: true },
      ...(clientCa === undefined ? [] : [{ setting: "NEBULA_TLS_CLIENT_CA", path: clientCa, secret: false }]),
    ];
    const reloaded = await ReloadedFiles.open<ServerFiles>({
      files,
      make: ([certFile, keyFile, caFile]) => {
        if (certFile === undefined || keyFile === undefined) throw new TypeError("a certificate and its key were not read");
        return { ...readKeyPair(certFile, keyFile), ca: caFile === undefined ? undefined : readAuthorities(caFile) };
      },
      log,
    });
    return new ServerTls(reloaded, clientAuth);
  }

  /** The certificate in use, with its intermediates, PEM. */
  get cert(): Buffer {
    return this.#files.current.cert;
  }

  onChange(listener: () => void): void {
    this.#files.onChange(listener);
  }

  /** Of a server, besides its protocols. 1.3 is used with each client that supports it. */
  options(): TlsOptions {
    return {
      ...this.#context(),
      minVersion: "TLSv1.2",
      handshakeTimeout: HANDSHAKE_MS,
      requestCert: this.#clientAuth !== "off",
      rejectUnauthorized: this.#clientAuth === "required",
    };
  }

  /** Has a server use the changed files from now on; open connections continue unchanged. */
  keep(server: Pick<Server, "setSecureContext">): void {
    this.#files.onChange(() => server.setSecureContext({ ...this.#context(), minVersion: "TLSv1.2" }));
  }

  /** Whether a client that need not show a certificate showed one that is not accepted. */
  refuses(socket: TLSSocket): boolean {
    if (this.#clientAuth !== "optional" || socket.authorized) return false;
    return Object.keys(socket.getPeerCertificate()).length > 0;
  }

  #context() {
    const { cert, key, ca } = this.#files.current;
    return ca === undefined ? { cert, key } : { cert, key, ca };
  }

  [Symbol.dispose](): void {
    this.#files[Symbol.dispose]();
  }
}

import type { Log } from "../log/log.ts";
import type { TlsSettings } from "../settings/settings.ts";
import { type KeyPair, type NamedFile, readAuthorities, readKeyPair } from "./read-pem.ts";
import { ReloadedFiles } from "./reloaded-files.ts";

/** The trusted authorities and the certificate of a client. PEM; undefined: the authorities of Node, no certificate. */
export type ClientTls = Readonly<{
  ca?: Buffer | undefined;
  pair?: KeyPair | undefined;
  /** `ca` is the certificate of the server itself: no other is trusted, and its names are not checked. */
  pinned?: boolean;
}>;

const NOTHING_GIVEN: ClientTls = {};

type Given = Pick<TlsSettings, "ca" | "clientCert" | "clientKey">;

/** The names of the files of a client in errors. */
export type ClientTlsNames = Readonly<{ ca: string; clientCert: string; clientKey: string }>;

const VARIABLES: ClientTlsNames = { ca: "NEBULA_TLS_CA", clientCert: "NEBULA_TLS_CLIENT_CERT", clientKey: "NEBULA_TLS_CLIENT_KEY" };

type ClientFile = Readonly<{ role: keyof ClientTlsNames; setting: string; path: string; secret: boolean }>;

/** The files that a client's settings name, with their settings. */
export function clientTlsFiles({ ca, clientCert, clientKey }: Given, names = VARIABLES): ClientFile[] {
  const file = (role: keyof ClientTlsNames, path: string): ClientFile => ({ role, setting: names[role], path, secret: role === "clientKey" });
  return [
    ...(ca === undefined ? [] : [file("ca", ca)]),
    ...(clientCert === undefined || clientKey === undefined ? [] : [file("clientCert", clientCert), file("clientKey", clientKey)]),
  ];
}

/** Reads the TLS files of a client. @throws NebulaError `failed_precondition` where one is wrong */
export function makeClientTls(files: readonly (NamedFile & Pick<ClientFile, "role">)[]): ClientTls {
  const find = (role: keyof ClientTlsNames) => files.find((file) => file.role === role);
  const [ca, cert, key] = [find("ca"), find("clientCert"), find("clientKey")];
  return {
    ca: ca === undefined ? undefined : readAuthorities(ca),
    pair: cert === undefined || key === undefined ? undefined : readKeyPair(cert, key),
  };
}

/** The trusted authorities and the certificate of a client, reloaded when the files change. */
export class ReloadedClientTls implements Disposable {
  readonly #files: ReloadedFiles<ClientTls> | undefined;

  private constructor(files: ReloadedFiles<ClientTls> | undefined) {
    this.#files = files;
  }

  /** Rejects with `failed_precondition` where a file is wrong. */
  static async open(settings: Given | undefined, log: Log): Promise<ReloadedClientTls> {
    const files = settings === undefined ? [] : clientTlsFiles(settings);
    // the files are in the order of their names
    const make = (read: readonly NamedFile[]) =>
      makeClientTls(files.flatMap(({ role }, index) => (read[index] === undefined ? [] : [{ role, ...read[index] }])));
    return new ReloadedClientTls(files.length === 0 ? undefined : await ReloadedFiles.open({ files, make, log }));
  }

  /** The same object until a file changes. */
  get current(): ClientTls {
    return this.#files?.current ?? NOTHING_GIVEN;
  }

  onChange(listener: () => void): void {
    this.#files?.onChange(listener);
  }

  [Symbol.dispose](): void {
    this.#files?.[Symbol.dispose]();
  }
}

import type { Log } from "../log/log.ts";
import type { TlsSettings } from "../settings/settings.ts";
import { type KeyPair, type NamedFile, readAuthorities, readKeyPair } from "./read-pem.ts";
import { ReloadedFiles } from "./reloaded-files.ts";

/** What a client trusts and shows. PEM; undefined: the system's authorities, no certificate. */
export type ClientTls = Readonly<{
  ca?: Buffer | undefined;
  pair?: KeyPair | undefined;
  /** `ca` is the server's very certificate: nothing else is trusted, and its names do not matter. */
  pinned?: boolean;
}>;

const NOTHING_GIVEN: ClientTls = {};

type Given = Pick<TlsSettings, "ca" | "clientCert" | "clientKey">;

/** The files that a client's settings name, with their settings. */
export function clientTlsFiles({ ca, clientCert, clientKey }: Given): { setting: string; path: string; secret: boolean }[] {
  return [
    ...(ca === undefined ? [] : [{ setting: "NEBULA_TLS_CA", path: ca, secret: false }]),
    ...(clientCert === undefined || clientKey === undefined
      ? []
      : [
          { setting: "NEBULA_TLS_CLIENT_CERT", path: clientCert, secret: false },
          { setting: "NEBULA_TLS_CLIENT_KEY", path: clientKey, secret: true },
        ]),
  ];
}

/** What a client makes of its files. @throws NebulaError `failed_precondition` where one is wrong */
export function makeClientTls(files: readonly NamedFile[]): ClientTls {
  const find = (setting: string) => files.find((file) => file.setting === setting);
  const [ca, cert, key] = [find("NEBULA_TLS_CA"), find("NEBULA_TLS_CLIENT_CERT"), find("NEBULA_TLS_CLIENT_KEY")];
  return {
    ca: ca === undefined ? undefined : readAuthorities(ca),
    pair: cert === undefined || key === undefined ? undefined : readKeyPair(cert, key),
  };
}

/** What a client trusts and shows, kept as the files are. */
export class ReloadedClientTls implements Disposable {
  readonly #files: ReloadedFiles<ClientTls> | undefined;

  private constructor(files: ReloadedFiles<ClientTls> | undefined) {
    this.#files = files;
  }

  /** Rejects with `failed_precondition` where a file is wrong. */
  static async open(settings: Given | undefined, log: Log): Promise<ReloadedClientTls> {
    const files = settings === undefined ? [] : clientTlsFiles(settings);
    return new ReloadedClientTls(files.length === 0 ? undefined : await ReloadedFiles.open({ files, make: makeClientTls, log }));
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

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../../common/testing/free-port.ts";
import { type Issued, TestAuthority } from "../../common/testing/test-authority.ts";
import { Api } from "./api.ts";
import { Program } from "./program.ts";

const PASSWORD = "the password of a test";

/** `nebula server` over TLS, with a certificate of a test's own authority, which can be replaced while it runs. */
export class TlsServer implements AsyncDisposable {
  readonly authority: TestAuthority;
  readonly folder: string;
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly password = PASSWORD;
  readonly program: Program;
  /** Calls as the local admin, over TLS. */
  readonly api: Api;

  /** @param env further settings, which may name files that `prepare` has put beside the server's own */
  static async start(prepare: (authority: TestAuthority) => Promise<Record<string, string>> = async () => ({})): Promise<TlsServer> {
    const authority = await TestAuthority.make();
    const folder = await mkdtemp(join(tmpdir(), "nebula-e2e-tls-"));
    const [first, env] = await Promise.all([authority.issue("first"), prepare(authority)]);
    const server = new TlsServer(authority, folder, { http: await freePort(), grpc: await freePort() }, first, env);
    try {
      await server.program.printed(/is up/);
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  private constructor(authority: TestAuthority, folder: string, ports: { http: number; grpc: number }, first: Issued, env: Record<string, string>) {
    this.authority = authority;
    this.folder = folder;
    this.httpPort = ports.http;
    this.grpcPort = ports.grpc;
    this.program = new Program(["server"], {
      env: {
        NEBULA_DATA: join(folder, "data"),
        NEBULA_ADMIN_PASSWORD: PASSWORD,
        NEBULA_HTTP_LISTEN: `127.0.0.1:${ports.http}`,
        NEBULA_GRPC_LISTEN: `127.0.0.1:${ports.grpc}`,
        NEBULA_METRICS_LISTEN: "off",
        NEBULA_TLS_CERT: first.certFile,
        NEBULA_TLS_KEY: first.keyFile,
        ...env,
      },
    });
    this.#files = first;
    this.api = new Api(`127.0.0.1:${ports.grpc}`, PASSWORD, { ca: authority.ca });
  }
  readonly #files: Issued;

  get https(): string {
    return `https://127.0.0.1:${this.httpPort}`;
  }

  get grpcs(): string {
    return `grpcs://127.0.0.1:${this.grpcPort}`;
  }

  /** Puts another certificate in place of the one it has, first one file and then the other. */
  async replace({ cert, key }: Pick<Issued, "cert" | "key">): Promise<void> {
    await writeFile(this.#files.certFile, cert);
    await writeFile(this.#files.keyFile, key);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.api[Symbol.dispose]();
    await this.program.kill();
    await this.authority[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true, force: true });
  }
}

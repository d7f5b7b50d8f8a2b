import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { createClient, type Transport } from "@connectrpc/connect";
import type { GivenFlags } from "./command/parse-flags.ts";
import type { Io } from "./io.ts";
import { findLogin } from "./login/find-login.ts";
import type { Login } from "./login/resolve-login.ts";

/** The login and the transport of one run, each made when it is first needed. */
export class Session {
  readonly #values: GivenFlags;
  readonly #io: Io;
  readonly #signal: AbortSignal;
  #login: Promise<Login> | undefined;
  #transport: Promise<Transport> | undefined;
  /** The login, once it is known. */
  #known: Login | undefined;
  /** Whether a call was made that may have changed something. */
  #changing = false;

  constructor(values: GivenFlags, io: Io, signal: AbortSignal) {
    this.#values = values;
    this.#io = io;
    this.#signal = signal;
  }

  async login(): Promise<Login> {
    this.#login ??= findLogin(this.#values, this.#io, this.#signal);
    const login = await this.#login;
    this.#known = login;
    return login;
  }

  async client<S extends DescService>(service: S) {
    const login = await this.login();
    this.#transport ??= this.#io.connect(login).then((transport) => this.#noting(transport));
    return createClient(service, await this.#transport);
  }

  async explain(error: unknown): Promise<string[]> {
    const { explainError } = await import("./errors/describe-error.ts");
    return await explainError(error, this.#known, { changing: this.#changing });
  }

  /** The same transport; whether a call that changes something was made is noted. */
  #noting(transport: Transport): Transport {
    const note = ({ idempotency }: DescMethod) => {
      this.#changing ||= idempotency !== MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
    };
    return {
      unary: (method, ...call) => {
        note(method);
        return transport.unary(method, ...call);
      },
      stream: (method, ...call) => {
        note(method);
        return transport.stream(method, ...call);
      },
    };
  }
}

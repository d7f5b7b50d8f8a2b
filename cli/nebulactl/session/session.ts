import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { createClient, type Transport } from "@connectrpc/connect";
import type { Login } from "./resolve-login.ts";

export type SessionOptions = Readonly<{
  findLogin(): Promise<Login>;
  connect(login: Login): Promise<Transport>;
}>;

/** The login and the transport of one run; each is made when it is first needed. */
export class Session {
  readonly #options: SessionOptions;
  #login: Promise<Login> | undefined;
  #transport: Promise<Transport> | undefined;
  #knownLogin: Login | undefined;
  #mayHaveChanged = false;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /** The login, undefined until it was found. */
  get knownLogin(): Login | undefined {
    return this.#knownLogin;
  }

  /** Whether a call was made that may have changed something on the server. */
  get mayHaveChanged(): boolean {
    return this.#mayHaveChanged;
  }

  async login(): Promise<Login> {
    this.#login ??= this.#options.findLogin();
    const login = await this.#login;
    this.#knownLogin = login;
    return login;
  }

  async client<S extends DescService>(service: S) {
    const login = await this.login();
    this.#transport ??= this.#options.connect(login).then((transport) => this.#recording(transport));
    return createClient(service, await this.#transport);
  }

  /** The same transport; records whether a call that changes something was made. */
  #recording(transport: Transport): Transport {
    const record = ({ idempotency }: DescMethod) => {
      this.#mayHaveChanged ||= idempotency !== MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
    };
    return {
      unary: (method, ...call) => {
        record(method);
        return transport.unary(method, ...call);
      },
      stream: (method, ...call) => {
        record(method);
        return transport.stream(method, ...call);
      },
    };
  }
}

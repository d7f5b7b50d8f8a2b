import { createHash } from "node:crypto";
import type { Clock } from "../../common/clock/clock.ts";
import type { RegistryLogin } from "../runtime/container-runtime.ts";

/** While a registry refuses a login, the device's own is read this often to see whether it has changed. */
const CHECK_MS = 30_000;

type FindLogin = (image: string) => Promise<RegistryLogin | undefined>;

export type LoginWatchOptions = Readonly<{
  login: FindLogin;
  clock: Clock;
  /** Images whose registry refused the login of their last pull. */
  refused: () => readonly string[];
  /** The login for this image is another one now. */
  onChanged: (image: string) => void;
}>;

/** Finds logins, and notices that one has changed which a registry refused. Only a digest of a login is kept. */
export class LoginWatch {
  readonly #options: LoginWatchOptions;
  /** By image: the digest of the login of its last pull. */
  readonly #used = new Map<string, string>();

  constructor(options: LoginWatchOptions) {
    this.#options = options;
  }

  /** The login for an image, as its next pull uses it. */
  readonly login: FindLogin = async (image) => {
    const login = await this.#options.login(image);
    this.#used.set(image, digestOf(login));
    return login;
  };

  /** Rejects with the signal's reason once that is aborted. */
  async run(signal: AbortSignal): Promise<never> {
    const { login, clock, refused, onChanged } = this.#options;
    for (;;) {
      await clock.sleep(CHECK_MS, signal);
      const images = refused();
      for (const image of this.#used.keys()) if (!images.includes(image)) this.#used.delete(image);
      for (const image of images) {
        const known = this.#used.get(image);
        if (known !== undefined && digestOf(await login(image)) !== known) onChanged(image);
      }
    }
  }
}

function digestOf(login: RegistryLogin | undefined): string {
  return createHash("sha256")
    .update(JSON.stringify(login ?? null))
    .digest("hex");
}

import { execFile } from "node:child_process";
import type { RegistryLogin } from "../runtime/container-runtime.ts";

const LIMIT_MS = 10_000;
const LONGEST_ANSWER = 64 * 1024;
/** As user name it says that the secret is an identity token. */
const TOKEN_USER = "<token>";

export type HelperAnswer = Readonly<{ kind: "login"; login: RegistryLogin } | { kind: "none" } | { kind: "failed"; reason: string }>;

/**
 * Asks docker-credential-HELPER for a login, as Docker's own client does: `get`, the server on its standard input, JSON on its standard output.
 * @param limitMs after which it is killed
 */
export function askCredentialHelper({
  helper,
  server,
  env,
  limitMs = LIMIT_MS,
}: Readonly<{ helper: string; server: string; env: Readonly<Record<string, string | undefined>>; limitMs?: number }>): Promise<HelperAnswer> {
  if (!/^[\w.-]+$/.test(helper)) return Promise.resolve({ kind: "failed", reason: "that is not a valid name of a helper" });
  const options = { env: { ...env }, timeout: limitMs, killSignal: "SIGKILL", maxBuffer: LONGEST_ANSWER } as const;
  return new Promise((resolve) => {
    const child = execFile(`docker-credential-${helper}`, ["get"], options, (error, stdout) => {
      if (error === null) return resolve(loginIn(stdout, server));
      // a helper says on its standard output why it fails
      if (/credentials not found/i.test(stdout)) return resolve({ kind: "none" });
      if (error.killed) return resolve({ kind: "failed", reason: `no answer within ${limitMs} ms` });
      return resolve({
        kind: "failed",
        reason: error.code === "ENOENT" ? `docker-credential-${helper} is not on the PATH` : `it ended with ${error.code}`,
      });
    });
    child.stdin?.on("error", () => {}); // one that ends without reading
    child.stdin?.end(server);
  });
}

function loginIn(answer: string, server: string): HelperAnswer {
  try {
    const value: unknown = JSON.parse(answer);
    if (typeof value === "object" && value !== null && "Username" in value && "Secret" in value) {
      const { Username: username, Secret: secret } = value;
      if (username === TOKEN_USER && typeof secret === "string") return { kind: "login", login: { identityToken: secret, registry: server } };
      if (typeof username === "string" && typeof secret === "string")
        return { kind: "login", login: { username, password: secret, registry: server } };
    }
  } catch {
    // no JSON: as an answer of another form
  }
  return { kind: "failed", reason: "its answer holds no Username and Secret" };
}

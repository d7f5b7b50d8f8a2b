import { request } from "node:http";

/** The engine that tests use. */
export const DOCKER_SOCKET = "/var/run/docker.sock";

/** How long an engine that is there may take to answer on a machine that is busy. Where none is, a socket refuses at once. */
const ANSWER_MS = 30_000;

/** Skips the suite where no Docker Engine answers; under CI=true that is a failure. */
export async function requireDocker(context: Mocha.Context): Promise<void> {
  if (context.timeout() > 0) context.timeout(Math.max(2 * ANSWER_MS, context.timeout()));
  if (await dockerAnswers()) return;
  if (process.env.CI === "true") throw new Error(`no Docker Engine answers at ${DOCKER_SOCKET}`);
  console.log("    (skipped: no Docker Engine)");
  context.skip();
}

function dockerAnswers(): Promise<boolean> {
  return new Promise((resolve) => {
    const ping = request({ socketPath: DOCKER_SOCKET, path: "/_ping", timeout: ANSWER_MS }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    ping.on("timeout", () => ping.destroy(new Error("timeout")));
    ping.on("error", () => resolve(false));
    ping.end();
  });
}

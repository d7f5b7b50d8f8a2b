import type { Clock } from "../../common/clock/clock.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import type { Log } from "../../common/log/log.ts";
import type { ContainerRuntime } from "./container-runtime.ts";
import { openDockerRuntime } from "./docker/docker.ts";
import { SimulatedRuntime } from "./simulated/simulated.ts";

/** How long a simulated pull takes at most, where the URL does not say. */
const DEFAULT_PULL_MS = 400;

/**
 * Opens the engine of a URL: `docker:///var/run/docker.sock`, `docker://host:port`, or `simulated:`, where `simulated:?pull_ms=N` says how long a pull takes
 * at most. Rejects with `invalid_argument` for another.
 */
export async function openRuntime(url: string, { clock, log }: Readonly<{ clock: Clock; log: Log }>): Promise<ContainerRuntime> {
  if (url.startsWith("docker:")) return await openDockerRuntime({ url, clock, log });
  if (url.startsWith("simulated:")) return openSimulated(url, clock);
  throw new NebulaError("invalid_argument", `invalid runtime "${url}": use docker:///var/run/docker.sock, docker://host:port or simulated:`);
}

function openSimulated(url: string, clock: Clock): ContainerRuntime {
  const given = new URL(url).searchParams.get("pull_ms");
  const longestMs = given !== null && /^\d{1,7}$/.test(given) ? Number(given) : DEFAULT_PULL_MS;
  return new SimulatedRuntime({ clock, behaviour: () => ({ pull: { kind: "ok", afterMs: longestMs * (0.25 + 0.75 * Math.random()) } }) });
}

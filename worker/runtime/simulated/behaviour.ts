import type { HealthcheckSpec } from "../../../common/desired/container-spec.ts";
import type { EngineInfo } from "../container-runtime.ts";

/** How one image of the simulated world behaves: its pull, and the containers made of it. Times are milliseconds of the runtime's clock. */
export type ImageBehaviour = Readonly<{
  pull:
    | Readonly<{ kind: "ok"; afterMs: number }>
    | Readonly<{ kind: "fails"; message: string; unauthenticated?: boolean }>
    /** Nothing comes of it, not even a line. */
    | Readonly<{ kind: "hangs" }>
    /** The same lines again and again, while nothing arrives. */
    | Readonly<{ kind: "repeats" }>
    /** Every layer arrives at once; the rest happens in silence. */
    | Readonly<{ kind: "unpacks"; afterMs: number }>;
  env: readonly string[];
  /** Paths for which the image declares an anonymous volume. */
  volumes: readonly string[];
  /** The image's own health check; undefined: none. */
  healthcheck: HealthcheckSpec | undefined;
  /** The result of the health check of its containers, and how long after each start. */
  health: Readonly<{ becomes: "healthy" | "unhealthy" | "starting"; afterMs: number; output?: string }>;
  /** Its containers end by themselves this long after each start; undefined: they run until they are stopped. */
  exit: Readonly<{ code: number; afterMs: number; outOfMemory?: boolean }> | undefined;
  /** The engine refuses to start its containers, with these words; undefined: it does not. */
  startRefusal: string | undefined;
  /** How long its containers take to end after a stop. */
  stopMs: number;
}>;

export const PLAIN_IMAGE: ImageBehaviour = {
  pull: { kind: "ok", afterMs: 0 },
  env: ["PATH=/usr/bin:/bin"],
  volumes: [],
  healthcheck: undefined,
  health: { becomes: "healthy", afterMs: 0 },
  exit: undefined,
  startRefusal: undefined,
  stopMs: 0,
};

/** How a simulated engine presents itself, unless a test gives other values. */
export const PLAIN_ENGINE: Omit<EngineInfo, "clock"> = {
  hostname: "simulated",
  cores: 4,
  memoryBytes: 4 * 1024 ** 3,
  engineVersion: "simulated",
  apiVersion: "1.41",
  os: "linux",
  arch: "amd64",
  ownContainerId: undefined,
  rootDir: undefined,
};

import type { ContainerSpec } from "../../common/desired/container-spec.ts";
import type { ContainerRuntime } from "./container-runtime.ts";

/** A runtime to be tested, and what it takes to see it act. Disposing it removes everything with `label`. */
export type RuntimeFixture = AsyncDisposable &
  Readonly<{
    runtime: ContainerRuntime;
    /** The label that everything of one suite carries. */
    label: Readonly<Record<string, string>>;
    /** Normalised reference of an image that is there, without a health check. */
    image: string;
    /** A reference that is not there and cannot be pulled. */
    missingImage: string;
    specs: Readonly<{
      /** Runs until it is stopped; on the network bridge. */
      sleeps: ContainerSpec;
      /** Ends at once with exit code 3. */
      exits: ContainerSpec;
      /** Runs, and its health check passes. */
      healthy: ContainerSpec;
      /** Runs, and its health check fails. */
      unhealthy: ContainerSpec;
      /** The engine refuses to start it. */
      refused: ContainerSpec;
    }>;
    /** A spec whose start the engine neither does nor refuses before `end` was called. */
    hanging: () => Promise<Readonly<{ spec: ContainerSpec; end: () => Promise<void> }>>;
    /** Pauses a container by hand. */
    pause: (id: string) => Promise<void>;
    /**
     * Normalised references of images that declare volumes: the first for /data and /log, the second for /data and
     * /more.
     */
    withVolumes: readonly [string, string];
    /** Ids of the volumes among these that are on the device. */
    volumesOf: (names: readonly string[]) => Promise<readonly string[]>;
    /** A host port that nobody has. */
    freePort: () => Promise<number>;
    /** Makes a network though its name is taken, as two calls at the same time do; answers its id. */
    duplicateNetwork: (name: string) => Promise<string>;
    /** Lets time pass, where the runtime's time is not the machine's. */
    pass: (ms: number) => Promise<void>;
  }>;

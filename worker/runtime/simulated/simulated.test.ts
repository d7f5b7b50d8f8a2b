import { ManualClock } from "../../../common/clock/manual-clock.ts";
import { bareSpec } from "../../../common/testing/bare-spec.ts";
import { normaliseImageReference } from "../../../common/validation/container/image-reference.ts";
import { describeContainerRuntime } from "../contract.ts";
import type { ImageBehaviour } from "./behaviour.ts";
import { SimulatedRuntime } from "./simulated.ts";

const BEHAVIOURS: Readonly<Record<string, Partial<ImageBehaviour>>> = {
  "exits:1": { exit: { code: 3, afterMs: 0 } },
  "healthy:1": { healthcheck: check(), health: { becomes: "healthy", afterMs: 1000 } },
  "unhealthy:1": { healthcheck: check(), health: { becomes: "unhealthy", afterMs: 1000 } },
  "refused:1": { startRefusal: "no such device" },
  "volumes:1": { volumes: ["/data", "/log"] },
  "volumes:2": { volumes: ["/data", "/more"] },
  "missing:1": { pull: { kind: "fails", message: "manifest unknown" } },
};

function check() {
  return { test: ["CMD", "true"], intervalMs: 1000, timeoutMs: 1000, retries: 1, startPeriodMs: 0 };
}

describeContainerRuntime("simulated", async () => {
  const clock = new ManualClock();
  const behaviours = new Map(Object.entries(BEHAVIOURS).map(([image, behaviour]) => [normaliseImageReference(image), behaviour]));
  const runtime = new SimulatedRuntime({
    clock,
    images: ["plain:1", "exits:1", "healthy:1", "unhealthy:1", "refused:1", "hanging:1", "volumes:1", "volumes:2"],
    behaviour: (image) => behaviours.get(image) ?? {},
  });
  let port = 20_000;
  const spec = (image: string) => ({ ...bareSpec(image), command: ["serve"] });
  return {
    runtime,
    label: { suite: "simulated" },
    image: normaliseImageReference("plain:1"),
    missingImage: normaliseImageReference("missing:1"),
    specs: {
      sleeps: spec("plain:1"),
      exits: spec("exits:1"),
      healthy: spec("healthy:1"),
      unhealthy: spec("unhealthy:1"),
      refused: spec("refused:1"),
    },
    hanging: async () => {
      const isHanging = (id: string) => runtime.snapshot().some((container) => container.id === id && container.image.includes("hanging"));
      runtime.trouble = ({ method, target }) =>
        method === "start" && isHanging(target) ? { afterMs: 30_000, refusal: "failed to initialize logging driver" } : undefined;
      return { spec: spec("hanging:1"), end: () => clock.advance(30_000) };
    },
    pause: async (id) => runtime.pause(id),
    withVolumes: [normaliseImageReference("volumes:1"), normaliseImageReference("volumes:2")],
    volumesOf: async (names) => names.filter((name) => runtime.volumes.names.includes(name)),
    freePort: async () => port++,
    duplicateNetwork: async (name) => runtime.networks.duplicate(name, { suite: "simulated" }, clock.now()),
    pass: (ms) => clock.advance(ms),
    [Symbol.asyncDispose]: () => runtime[Symbol.asyncDispose](),
  };
});

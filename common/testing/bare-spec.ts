import type { ContainerSpec } from "../desired/container-spec.ts";
import { normaliseImageReference } from "../validation/container/image-reference.ts";

/** A spec that asks for nothing but an image, on the network bridge. */
export function bareSpec(image: string): ContainerSpec {
  return {
    image: normaliseImageReference(image),
    env: {},
    ports: [],
    networks: ["bridge"],
    volumes: [],
    devices: [],
    privileged: false,
    restartPolicy: "no",
    command: [],
    entrypoint: [],
    healthcheck: undefined,
    cpus: 0,
    memoryBytes: 0,
    logging: undefined,
    labels: {},
    capAdd: [],
    capDrop: [],
    ulimits: [],
    user: "",
    workingDir: "",
    hostname: "",
    extraHosts: [],
    shmBytes: 0,
    tmpfs: {},
    readOnly: false,
    init: false,
  };
}

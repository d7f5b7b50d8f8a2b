import { portText } from "../../../common/desired/host-ports.ts";
import { canonicalAddress, isEveryAddress } from "../../../common/net/published-address.ts";
import { normaliseImageReference } from "../../../common/validation/container/image-reference.ts";
import type { ContainerHealth, ContainerPhase, ObservedContainer, ObservedImage, ObservedNetwork } from "../container-runtime.ts";
import { type Json, listOf, numberOf, recordOf, textMapOf, textOf, textsOf, timeOf } from "../json.ts";

const PHASES: ReadonlySet<string> = new Set<ContainerPhase>(["created", "running", "paused", "restarting", "removing", "exited", "dead"]);

/** An entry of `GET /containers/json?all=1`: what only inspect tells (times, exit code, restarts, ports of what does not run) is missing. */
export function listedContainers(answer: unknown): readonly ObservedContainer[] {
  return listOf(answer).map((entry) => {
    const item = recordOf(entry);
    return {
      id: textOf(item.Id),
      name: ownName(textsOf(item.Names)),
      labels: textMapOf(item.Labels),
      phase: phaseOf(item.State),
      health: listedHealth(item),
      image: textOf(item.Image),
      imageId: textOf(item.ImageID),
      hostPorts: listedPorts(item.Ports),
      networks: Object.keys(recordOf(recordOf(item.NetworkSettings).Networks)),
      networkIds: networkIdsOf(item),
      createdAt: numberOf(item.Created) * 1000,
      startedAt: undefined,
      finishedAt: undefined,
      exitCode: undefined,
      restartCount: 0,
    };
  });
}

/** Ids of the networks of a container, listed or inspected; a network that it was not started on yet has none. */
export function networkIdsOf(item: Json): readonly string[] {
  const networks = Object.values(recordOf(recordOf(item.NetworkSettings).Networks));
  return networks.map((network) => textOf(recordOf(network).NetworkID)).filter((id) => id !== "");
}

/** A linked container has names of the form /other/alias besides its own. */
function ownName(names: readonly string[]): string {
  const own = names.find((name) => name.lastIndexOf("/") === 0) ?? names[0] ?? "";
  return own.replace(/^\//, "");
}

/** The phase by the engine's word; an unknown one is not that of a running container. */
export function phaseOf(word: unknown): ContainerPhase {
  const text = textOf(word);
  return isPhase(text) ? text : "exited";
}

function isPhase(text: string): text is ContainerPhase {
  return PHASES.has(text);
}

/** The health by the engine's word; a container without a check has none. */
export function healthOf(word: unknown): ContainerHealth {
  switch (word) {
    case "starting":
    case "healthy":
    case "unhealthy":
      return word;
    default:
      return "none";
  }
}

/** Older engines tell the health of a listed container only in the text for people: "Up 2 minutes (healthy)". */
function listedHealth(item: Json): ContainerHealth {
  const told = textOf(recordOf(item.Health).Status);
  if (told !== "") return healthOf(told);
  const [, word = ""] = /\((?:health: )?(starting|healthy|unhealthy)\)$/.exec(textOf(item.Status)) ?? [];
  return healthOf(word);
}

/** Published ports, each once: a port on every address is listed for IPv4 and for IPv6. */
function listedPorts(value: unknown): ObservedContainer["hostPorts"] {
  return distinctPorts(
    listOf(value).flatMap((entry) => {
      const { IP, PublicPort, Type } = recordOf(entry);
      return hostPort(numberOf(PublicPort), textOf(Type), textOf(IP));
    }),
  );
}

/** A published host port of tcp or udp, as a list; an empty list for sctp and unpublished ports. */
export function hostPort(port: number, protocol: string, ip: string): ObservedContainer["hostPorts"] {
  if (port <= 0 || (protocol !== "tcp" && protocol !== "udp")) return [];
  const address = canonicalAddress(ip) ?? ip;
  return [{ hostPort: port, protocol, ...(isEveryAddress(address) ? {} : { address }) }];
}

export function distinctPorts(ports: ObservedContainer["hostPorts"]): ObservedContainer["hostPorts"] {
  return [...new Map(ports.map((port) => [portText(port), port])).values()];
}

/** `GET /images/json`. */
export function listedImages(answer: unknown): readonly ObservedImage[] {
  return listOf(answer).map((entry) => {
    const item = recordOf(entry);
    return {
      id: textOf(item.Id),
      references: referencesOf(item),
      sizeBytes: numberOf(item.Size),
      createdAt: numberOf(item.Created) * 1000,
      labels: textMapOf(item.Labels),
    };
  });
}

/** Every reference of an image, normalised: its tags, then its digests. */
export function referencesOf(image: Json): readonly string[] {
  return [...textsOf(image.RepoTags), ...textsOf(image.RepoDigests)]
    .filter((reference) => !reference.includes("<none>"))
    .map(normaliseImageReference);
}

/** `GET /networks`. */
export function listedNetworks(answer: unknown): readonly ObservedNetwork[] {
  return listOf(answer).map((entry) => {
    const item = recordOf(entry);
    return {
      id: textOf(item.Id),
      name: textOf(item.Name),
      driver: textOf(item.Driver),
      labels: textMapOf(item.Labels),
      createdAt: timeOf(item.Created) ?? 0,
    };
  });
}

import type Docker from "dockerode";
import type { App } from "../../gen/nebula/v1/app_pb.ts";

/** How an app's containers are named and where its images are looked up. */
export type FitContext = Readonly<{
  instance: string;
  /** The id and the environment of a local image; rejects if it is not on the engine. */
  image: (reference: string) => Promise<{ id: string; env: readonly string[] }>;
}>;

/**
 * Compares the containers of an app with its specification, by inspection alone: no label is trusted and no code of the worker is used.
 * @param containers every container of the app that the engine has, running or not
 * @returns each difference as a sentence; empty if the containers are what the app asks for
 */
export async function differencesOf(app: App, containers: readonly Docker.ContainerInspectInfo[], context: FitContext): Promise<string[]> {
  const count = app.running === false ? 0 : app.containersPer?.per.case === "server" ? app.containersPer.per.value : 1;
  const wanted = Array.from({ length: count }, (_, i) => `/${context.instance}-${app.name}-${i + 1}`);
  const names = containers.map(({ Name }) => Name);
  const differences = [
    ...wanted.filter((name) => !names.includes(name)).map((name) => `${name} does not exist`),
    ...names.filter((name) => !wanted.includes(name)).map((name) => `${name} must not exist`),
  ];
  for (const info of containers) {
    const index = wanted.indexOf(info.Name);
    if (index < 0) continue;
    for (const difference of await differencesOfOne(app, index, info, context)) differences.push(`${info.Name}: ${difference}`);
  }
  return differences;
}

async function differencesOfOne(app: App, index: number, info: Docker.ContainerInspectInfo, { image }: FitContext): Promise<string[]> {
  const { id, env } = await image(app.dockerImage);
  const networks = app.networks.length === 0 ? ["bridge", "nebula"] : [...new Set(["nebula", ...app.networks])].sort();
  const ports = app.startingPorts.map(({ hostPort, containerPort }) => [`${containerPort}/tcp`, [String(hostPort + index)]]);
  const bound = Object.entries((info.HostConfig.PortBindings ?? {}) as Record<string, { HostPort: string }[]>).map(([port, hosts]) => [
    port,
    hosts.map(({ HostPort }) => HostPort),
  ]);
  const variables = new Map([...env, ...Object.entries(app.envVars).map(([name, value]) => `${name}=${value}`)].map(nameAndText));
  const compared: readonly (readonly [string, unknown, unknown])[] = [
    ["state", info.State.Status, "running"],
    ["paused", info.State.Paused, false],
    ["image", info.Image, id],
    ["environment", [...info.Config.Env].sort(), [...variables.values()].sort()],
    ["command", info.Config.Cmd, app.command],
    ["ports", bound.sort(byText), ports.sort(byText)],
    ["networks", Object.keys(info.NetworkSettings.Networks).sort(), networks],
    ["binds", info.HostConfig.Binds ?? [], app.volumes],
    ["memory", info.HostConfig.Memory, app.memoryLimitMb * 2 ** 20],
    ["restart policy", info.HostConfig.RestartPolicy?.Name, "unless-stopped"],
  ];
  return compared
    .filter(([, actual, expected]) => JSON.stringify(actual) !== JSON.stringify(expected))
    .map(([what, actual, expected]) => `${what} is ${JSON.stringify(actual)}, not ${JSON.stringify(expected)}`);
}

/** A variable of the app replaces the image's variable of that name. */
function nameAndText(variable: string): [string, string] {
  return [variable.slice(0, variable.indexOf("=")), variable];
}

function byText(a: unknown, b: unknown): number {
  return JSON.stringify(a) < JSON.stringify(b) ? -1 : 1;
}

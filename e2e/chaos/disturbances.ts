import { setTimeout as delay } from "node:timers/promises";
import type Docker from "dockerode";
import { newInstance } from "../harness/engine.ts";
import type { OwnEngine } from "../harness/own-engine.ts";
import type { Server } from "../harness/server.ts";
import type { Worker } from "../harness/worker.ts";
import type { Dice } from "./dice.ts";

export type Disturbance = Readonly<{ name: string; run: () => Promise<void> }>;

/** Longest time that a process is stopped for, or a container paused. */
const LONGEST_PAUSE_MS = 4_000;

/** The disturbances of the programs and of the engine. */
export function disturbancesOfPrograms({ server, worker, own, dice }: Readonly<{ server: Server; worker: Worker; own: OwnEngine; dice: Dice }>) {
  const pause = async (child: { kill: (signal: NodeJS.Signals) => boolean }) => {
    child.kill("SIGSTOP");
    await delay(500 + dice.below(LONGEST_PAUSE_MS - 500));
    child.kill("SIGCONT");
  };
  return [
    {
      name: "worker killed",
      run: async () => {
        await worker.kill();
        worker.startAgain();
      },
    },
    {
      name: "worker ended and started",
      run: async () => {
        const code = await worker.stop();
        if (code !== 0) throw new Error(`the worker ended with ${code}:\n${worker.program.output.slice(-4000)}`);
        worker.startAgain();
      },
    },
    { name: "worker stopped and continued", run: () => pause(worker.program.child) },
    {
      name: "server killed",
      run: async () => {
        await server.kill();
        await server.startAgain();
      },
    },
    {
      name: "server ended and started",
      run: async () => {
        await server.stop();
        await server.startAgain();
      },
    },
    { name: "server stopped and continued", run: () => pause(server.program.child) },
    {
      name: "engine restarted",
      run: async () => {
        await own.stopDaemon();
        await own.startDaemon();
      },
    },
  ] as const satisfies readonly Disturbance[];
}

/** The things that a person may do to a container that Nebula manages. Each rejects if the engine refuses it. */
export const ON_CONTAINERS = [
  { name: "container killed", run: (container: Docker.Container) => container.kill() },
  { name: "container removed", run: (container: Docker.Container) => container.remove({ force: true }) },
  { name: "container stopped", run: (container: Docker.Container) => container.stop({ t: 0 }) },
  { name: "container renamed", run: (container: Docker.Container) => container.rename({ name: `moved-${newInstance()}` }) },
  {
    name: "container paused",
    run: async (container: Docker.Container) => {
      await container.pause();
      await delay(LONGEST_PAUSE_MS / 2);
      await container.unpause();
    },
  },
  {
    name: "container disconnected",
    run: (container: Docker.Container, docker: Docker) => docker.getNetwork("nebula").disconnect({ Container: container.id, Force: true }),
  },
] as const;

import type { Clock } from "../../../common/clock/clock.ts";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import type { PullOptions } from "../container-runtime.ts";
import { pullError } from "../docker/errors.ts";
import { PullProgress } from "../pull-progress.ts";
import type { ImageBehaviour } from "./behaviour.ts";

const LAYERS = ["5cc84ad355aa", "a3ed95caeb02"];
/** How often an engine prints a line that has not changed. */
const REPEAT_MS = 100;

/** The lines of one pull, as an engine prints them; resolves when the image is there. */
export async function simulatePull(pull: ImageBehaviour["pull"], clock: Clock, { onLine, signal }: PullOptions): Promise<void> {
  const progress = new PullProgress();
  const tell = (status: string, id?: string, current?: number) =>
    onLine(progress.see({ status, id, progressDetail: current === undefined ? {} : { current, total: 100 } }));
  const download = () => {
    for (const layer of LAYERS) {
      tell("Downloading", layer, 100);
      tell("Download complete", layer);
    }
  };
  const wait = async (ms: number) => {
    if (ms > 0) await clock.sleep(ms, signal).catch(() => {});
    if (signal.aborted) throw new NebulaError("cancelled", "pull is not wanted any more");
  };
  if (pull.kind === "fails") throw pull.unauthenticated === true ? new NebulaError("unauthenticated", pull.message) : pullError(pull.message);
  if (pull.kind === "hangs") return await wait(Number.MAX_SAFE_INTEGER);
  tell("Pulling from simulated", "latest");
  for (const layer of LAYERS) tell("Pulling fs layer", layer);
  switch (pull.kind) {
    case "repeats":
      for (let isFirst = true; ; isFirst = false) {
        for (const layer of LAYERS) tell(isFirst ? "Downloading" : "Retrying in 1 second", layer, 7);
        for (const layer of LAYERS) tell("Downloading", layer, 7);
        await wait(REPEAT_MS);
      }
    case "unpacks":
      download();
      await wait(pull.afterMs);
      break;
    case "ok":
      await wait(pull.afterMs);
      download();
  }
  for (const layer of LAYERS) tell("Pull complete", layer);
  tell("Status: Downloaded newer image");
}

import { createLog } from "../../common/log/log.ts";

/** Lines that a worker logged. For tests only. */
export class LogLines {
  readonly #lines: { level: string; msg: string }[] = [];
  readonly log = createLog({ level: "debug", part: "worker", destination: { write: (line: string) => void this.#lines.push(JSON.parse(line)) } });

  count(message: string): number {
    return this.#lines.filter(({ msg }) => msg === message).length;
  }

  above(level: "info"): readonly string[] {
    return this.#lines.filter((line) => !["debug", level].includes(line.level)).map(({ msg }) => msg);
  }
}

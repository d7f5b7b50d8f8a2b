import { create } from "@bufbuild/protobuf";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { type Healthcheck, HealthcheckSchema } from "../../../gen/nebula/v1/container_pb.ts";
import type { FlagValues, NumberFlag, SwitchFlag, TextFlag } from "../command/flags.ts";
import { type Field, field } from "./field.ts";
import { parseDurationMs } from "./text-values.ts";

const NONE: SwitchFlag = { kind: "switch", name: "no-healthcheck", help: "Disables the health check of the image." };
const COMMAND: TextFlag = {
  kind: "text",
  name: "health-cmd",
  placeholder: "LINE",
  help: "The health check, a command line for the shell of the image. It replaces the health check of the image.",
};
const INTERVAL: TextFlag = { kind: "text", name: "health-interval", placeholder: "10s", help: "Time between two checks. Default: 30s." };
const TIMEOUT: TextFlag = { kind: "text", name: "health-timeout", placeholder: "5s", help: "Time after which a check fails. Default: 30s." };
const RETRIES: NumberFlag = {
  kind: "number",
  name: "health-retries",
  placeholder: "N",
  min: 1,
  integer: true,
  help: "Consecutive failures that make it unhealthy. Default: 3.",
};
const START_PERIOD: TextFlag = {
  kind: "text",
  name: "health-start-period",
  placeholder: "20s",
  help: "Time after the start during which failures do not count. Default: none.",
};

/** The health check, which is replaced as a whole. */
export const healthField: Field<{ healthcheck: Healthcheck }> = field(
  [COMMAND, INTERVAL, TIMEOUT, RETRIES, START_PERIOD, NONE],
  "healthcheck",
  (values) => {
    const command = values.text(COMMAND);
    const tuned = [INTERVAL, TIMEOUT, RETRIES, START_PERIOD].filter((flag) => values.has(flag)).map(({ name }) => `--${name}`);
    if (values.on(NONE)) {
      if (command !== undefined || tuned.length > 0)
        throw new NebulaError("invalid_argument", "--no-healthcheck excludes the other health flags; remove them");
      return { healthcheck: create(HealthcheckSchema, { test: ["NONE"] }) };
    }
    if (command === undefined) {
      if (tuned.length === 0) return undefined;
      throw new NebulaError("invalid_argument", `${tuned.join(", ")} without --health-cmd; the health check is replaced as a whole`);
    }
    return {
      healthcheck: create(HealthcheckSchema, {
        test: ["CMD-SHELL", command],
        intervalMs: durationOf(values, INTERVAL),
        timeoutMs: durationOf(values, TIMEOUT),
        retries: values.number(RETRIES) ?? 0,
        startPeriodMs: durationOf(values, START_PERIOD),
      }),
    };
  },
);

/** The duration of a flag, milliseconds; 0, the default of the engine, if it was not given. */
function durationOf(values: FlagValues, flag: TextFlag): number {
  const text = values.text(flag);
  return text === undefined ? 0 : parseDurationMs(text, `--${flag.name}`);
}

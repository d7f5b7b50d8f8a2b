import { create } from "@bufbuild/protobuf";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { type LogConfig, LogConfigSchema } from "../../../gen/nebula/v1/container_pb.ts";
import type { TextFlag } from "../command/flags.ts";
import { type Field, field } from "./field.ts";
import { parsePair } from "./text-values.ts";

const DRIVER: TextFlag = {
  kind: "text",
  name: "log-driver",
  placeholder: "DRIVER",
  help: "Where the output goes: json-file, local, syslog, journald, none, ...",
};
const OPTION: TextFlag = {
  kind: "text",
  name: "log-opt",
  placeholder: "K=V",
  repeatable: true,
  help: "One option of the log driver. Repeat it for more.",
};

/** The log configuration, which is given as a whole. */
export const logField: Field<{ logging: LogConfig }> = field([DRIVER, OPTION], "logging", (values) => {
  const driver = values.text(DRIVER);
  if (driver === undefined) {
    if (!values.has(OPTION)) return undefined;
    throw new NebulaError("invalid_argument", "--log-opt without --log-driver: the log configuration is given as a whole");
  }
  const options = Object.fromEntries(values.all(OPTION).map((pair) => parsePair(pair, "--log-opt")));
  return { logging: create(LogConfigSchema, { driver, options }) };
});

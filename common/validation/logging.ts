import type { LogConfig } from "../../gen/nebula/v1/container_pb.ts";
import type { Violation } from "../errors/nebula-error.ts";
import { nearestName } from "./nearest-name.ts";
import { entryPath, quote } from "./quote.ts";

const DRIVER = /^[a-zA-Z0-9][a-zA-Z0-9_.:/-]*$/;
/** Options that every driver takes. */
const COMMON = ["mode", "max-buffer-size", "cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"];
/** The options of the drivers that write to the device's own disk; those of other drivers are theirs to check. */
const OPTIONS: Readonly<Record<string, readonly string[]>> = {
  "json-file": ["max-size", "max-file", "compress", "labels", "labels-regex", "env", "env-regex", "tag"],
  local: ["max-size", "max-file", "compress"],
};
const SIZE = /^0*[1-9][0-9]*(?:\.[0-9]+)? ?[kKmMgGtTpP]?[iI]?[bB]?$/;
const VALUES: Readonly<Record<string, Readonly<{ pattern: RegExp; example: string }>>> = {
  "max-size": { pattern: SIZE, example: "10m" },
  "max-file": { pattern: /^0*[1-9][0-9]{0,8}$/, example: "3" },
  compress: { pattern: /^(?:true|false)$/, example: "true or false" },
  mode: { pattern: /^(?:blocking|non-blocking)$/, example: "blocking or non-blocking" },
  "max-buffer-size": { pattern: SIZE, example: "1m" },
};

/** Where a container's output goes. */
export function validateLogging({ driver, options }: LogConfig): Violation[] {
  if (!DRIVER.test(driver))
    return [{ field: "logging.driver", description: `${quote(driver)} is no log driver; json-file, local, syslog, journald or none would do` }];
  const own = Object.hasOwn(OPTIONS, driver) ? OPTIONS[driver] : undefined;
  return Object.entries(options).flatMap(([name, value]) => {
    const field = entryPath("logging.options", name);
    if (own !== undefined && !own.includes(name) && !COMMON.includes(name)) {
      const meant = nearestName(name, own) ?? own.join(", ");
      return [{ field, description: `is no option of the driver ${driver}; ${meant} would do` }];
    }
    const rule = own !== undefined && Object.hasOwn(VALUES, name) ? VALUES[name] : undefined;
    return rule === undefined || rule.pattern.test(value)
      ? []
      : [{ field, description: `${quote(value)} is no value of it; ${rule.example} would do` }];
  });
}

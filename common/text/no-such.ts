import { NebulaError } from "../errors/nebula-error.ts";
import { quote } from "./wording.ts";

const ADVICE = "create it, or look for its name in the list";

/** The error for a name that nothing has. @param what `app`; of one name that several may have, `app, cron_job or device_group` */
export function noSuch(what: string, name: string, advice: string = ADVICE): NebulaError {
  return new NebulaError("not_found", `there is no ${what} ${quote(name)}: ${advice}`);
}

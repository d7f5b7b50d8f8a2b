import { NebulaError } from "../../../common/errors/nebula-error.ts";
import type { Command } from "../command/command.ts";
import type { SwitchFlag } from "../command/flags.ts";
import { PROFILE } from "../command/global-flags.ts";
import { readProfiles, removeOriginalLogin, writeProfiles } from "../login/login-files.ts";
import { ORIGINAL_LOGIN_FILE } from "../login/original-login.ts";
import { NO_PROFILES, profileNamed, withoutProfile } from "../login/profiles.ts";

const ALL: SwitchFlag = { kind: "switch", name: "all", help: "Removes every stored login, the original tool's too." };

/** Removes a stored login. */
export const logout: Command = {
  kind: "command",
  name: "logout",
  summary: "Removes a stored login: that of --profile, else the current one.",
  flags: [ALL],
  async run({ values, io }) {
    const profiles = await readProfiles(io.home);
    if (values.on(ALL)) {
      await removeOriginalLogin(io.home);
      await writeProfiles(io.home, NO_PROFILES);
      io.out("every stored login is removed\n");
      return 0;
    }
    const name = values.text(PROFILE) ?? (io.env.NEBULA_PROFILE || profiles.current);
    if (name !== undefined) {
      profileNamed(profiles, name);
      await writeProfiles(io.home, withoutProfile(profiles, name));
      io.out(`profile ${name} is removed\n`);
      return 0;
    }
    if (!(await removeOriginalLogin(io.home))) throw new NebulaError("not_found", "there is no current login to remove: see nebulactl profiles");
    io.out(`~/${ORIGINAL_LOGIN_FILE} is removed\n`);
    return 0;
  },
};

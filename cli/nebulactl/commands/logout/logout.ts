import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import type { Command } from "../../command/command.ts";
import type { SwitchFlag } from "../../command/flags.ts";
import { PROFILE } from "../../command/global-flags.ts";
import { readProfiles, removeOriginalLogin, removeProfiles, writeProfiles } from "../../session/login-files.ts";
import { ORIGINAL_LOGIN_FILE } from "../../session/original-login.ts";
import { profileNamed, withoutProfile } from "../../session/profiles.ts";

const ALL: SwitchFlag = {
  kind: "switch",
  name: "all",
  help: "Removes every stored login, also that of the original tool, and files that are damaged.",
};

/** Removes a stored login. */
export const logout: Command = {
  kind: "command",
  name: "logout",
  summary: "Removes a stored login: the one of --profile, else the current one.",
  flags: [ALL],
  examples: ["nebulactl logout", "nebulactl logout --profile prod", "nebulactl logout --all"],
  async run({ values, io }) {
    if (values.on(ALL)) {
      await removeOriginalLogin(io.home);
      await removeProfiles(io.home); // without reading them: the file may be damaged
      io.out("removed every stored login\n");
      return 0;
    }
    const profiles = await readProfiles(io.home);
    const name = values.text(PROFILE) ?? (io.env.NEBULA_PROFILE || profiles.current);
    if (name !== undefined) {
      profileNamed(profiles, name);
      await writeProfiles(io.home, withoutProfile(profiles, name));
      io.out(`removed profile ${name}\n`);
      return 0;
    }
    if (!(await removeOriginalLogin(io.home))) throw new NebulaError("not_found", "no current login to remove; see nebulactl profiles");
    io.out(`removed ~/${ORIGINAL_LOGIN_FILE}\n`);
    return 0;
  },
};

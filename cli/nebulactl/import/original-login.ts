import { NebulaError } from "../../../common/errors/nebula-error.ts";
import type { Credentials } from "../../../common/settings/settings.ts";
import { wholeSecret } from "../../../common/text/utf8.ts";
import type { CommandContext } from "../command/context.ts";
import type { TextFlag } from "../command/flags.ts";
import { askPassword, secretOf } from "../login/find-login.ts";

export const FROM: TextFlag = { kind: "text", name: "from", placeholder: "URL", help: "The original manager: http://old-manager:80." };
export const FROM_USER: TextFlag = { kind: "text", name: "from-user", placeholder: "NAME", help: "Its user; an admin there." };
export const FROM_PASSWORD_FILE: TextFlag = {
  kind: "text",
  name: "from-password-file",
  placeholder: "FILE",
  help: "A file that holds that user's password. Also NEBULA_FROM_PASSWORD.",
};
export const FROM_TOKEN_FILE: TextFlag = {
  kind: "text",
  name: "from-token-file",
  placeholder: "FILE",
  help: "A file that holds a token of the original, in place of user and password. Also NEBULA_FROM_TOKEN.",
};

/** How to log in to the original; undefined: it asks for no login. */
export async function originalCredentials({
  values,
  io,
  signal,
}: Pick<CommandContext, "values" | "io" | "signal">): Promise<Credentials | undefined> {
  const token = (await secretOf(values, FROM_TOKEN_FILE)) ?? wholeSecret(io.env.NEBULA_FROM_TOKEN ?? "", "NEBULA_FROM_TOKEN");
  const user = values.text(FROM_USER) ?? "";
  if (token !== "" && user !== "") {
    throw new NebulaError("invalid_argument", "the original is given a token and a user: give one of them");
  }
  if (token !== "") return { kind: "token", token };
  const password = (await secretOf(values, FROM_PASSWORD_FILE)) ?? wholeSecret(io.env.NEBULA_FROM_PASSWORD ?? "", "NEBULA_FROM_PASSWORD");
  if (user !== "") return { kind: "password", user, password: password !== "" ? password : await askPassword(user, io, signal) };
  if (password !== "") throw new NebulaError("invalid_argument", "a password of the original needs its user: give --from-user");
  return undefined;
}

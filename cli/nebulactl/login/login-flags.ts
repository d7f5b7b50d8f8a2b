import type { NumberFlag, SwitchFlag, TextFlag } from "../command/flags.ts";
import { SERVER } from "../command/global-flags.ts";

/* The flags of `login`: the original's, with its letters, and those that keep secrets out of the list of processes. */

/** --server, with the letter that the original has for --host_uri. */
export const LOGIN_SERVER: TextFlag = { ...SERVER, short: "U" };
export const USER: TextFlag = { kind: "text", name: "username", short: "u", placeholder: "NAME", help: "The user to log in as." };
export const PASSWORD_STDIN: SwitchFlag = { kind: "switch", name: "password-stdin", help: "Reads the password from standard input." };
export const TOKEN_STDIN: SwitchFlag = { kind: "switch", name: "token-stdin", help: "Reads the token from standard input." };
export const PASSWORD: TextFlag = {
  kind: "text",
  name: "password",
  short: "p",
  placeholder: "PASSWORD",
  help: "As in the original. Others see it in the list of processes: prefer --password-stdin.",
};
export const TOKEN: TextFlag = {
  kind: "text",
  name: "token",
  short: "t",
  placeholder: "TOKEN",
  help: "As in the original. Others see it in the list of processes: prefer --token-stdin.",
};
export const HOST: TextFlag = {
  kind: "text",
  name: "host",
  short: "h",
  placeholder: "HOST",
  help: "The server's host, as in the original; --server says it all.",
};
export const PORT: NumberFlag = {
  kind: "number",
  name: "port",
  short: "c",
  placeholder: "PORT",
  min: 1,
  max: 65535,
  integer: true,
  help: "The port, with --host. Default: 80.",
};
export const PROTOCOL: TextFlag = {
  kind: "text",
  name: "protocol",
  short: "P",
  placeholder: "http|https",
  choices: ["http", "https"],
  help: "The protocol, with --host. Default: http.",
};

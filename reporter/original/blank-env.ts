/** Deeper than anything that a worker reports. */
const DEEPEST = 32;

/** Members that hold environment variables: v2's own, ours, and those of Docker's inspect. */
const ENV_MEMBERS = new Set(["env_vars", "secret_env_vars", "env", "environment"]);

/**
 * A JSON value with the values of environment variables blanked wherever they stand: names stay, values become empty.
 * @throws RangeError for a value that is nested too deeply to be a report
 */
export function blankEnv(value: unknown, depth = 0): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (depth >= DEEPEST) throw new RangeError(`nested deeper than ${DEEPEST}`);
  if (Array.isArray(value)) return value.map((item) => blankEnv(item, depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [name, ENV_MEMBERS.has(name.toLowerCase()) ? blanked(member) : blankEnv(member, depth + 1)]),
  );
}

function blanked(variables: unknown): unknown {
  if (Array.isArray(variables)) return variables.map(nameOf);
  if (typeof variables !== "object" || variables === null) return "";
  return Object.fromEntries(Object.keys(variables).map((name) => [name, ""]));
}

/** `NAME=` of `NAME=value`. Of a line without a '=' it can't be told whether it is a name. */
function nameOf(line: unknown): string {
  return typeof line === "string" && line.includes("=") ? line.slice(0, line.indexOf("=") + 1) : "";
}

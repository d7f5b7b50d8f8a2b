/** A config above this is served, with a warning. Bytes. */
const LARGE_CONFIG = 1024 * 1024;

/** What to say of a config of this many bytes, if anything. */
export function configSizeWarning(bytes: number): string | undefined {
  if (bytes <= LARGE_CONFIG) return undefined;
  return `the config is ${(bytes / LARGE_CONFIG).toFixed(1)} MiB: every change sends that to every device of the group; below 1 MiB would do`;
}

/** What one connection may ask of a manager; docs/limits.md names each. */
export const GRPC_LIMITS = {
  /** A request's message; a larger one is RESOURCE_EXHAUSTED. */
  requestBytes: 4 * 1024 * 1024,
  /** Calls at once. More wait in the client; a gateway opens more connections. */
  streamsPerConnection: 1000,
  /** Headers of one call, as HTTP/2 counts them (32 bytes and both lengths each), and how many. */
  headerBytes: 16 * 1024,
  headers: 128,
  settingsPerFrame: 32,
  /** Calls that the client takes back: above it the connection is ended. A gateway takes back whatever its callers do. */
  resets: { burst: 5000, perSecond: 500 },
  /** Memory of a connection in which HTTP/2 takes new calls, MB: answers that nobody reads are most of it. */
  connectionMemoryMb: 256,
} as const;

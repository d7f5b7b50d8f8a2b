/** What one HTTP request may be, and take; docs/limits.md names each. Sizes in bytes, times in milliseconds. */
export const HTTP_LIMITS = {
  bodyBytes: 4 * 1024 * 1024,
  /** Of all headers and the request line; above it 431. */
  headerBytes: 16 * 1024,
  /** From the connection, or the end of the request before, to the end of the headers; then 408. */
  headersMs: 10_000,
  /** To the end of the body; then 408. */
  requestMs: 60_000,
  /** How long a complete answer waits for its reader; then the connection is closed. */
  unreadMs: 60_000,
} as const;

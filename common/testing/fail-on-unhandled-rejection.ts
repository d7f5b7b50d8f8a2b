import { inspect } from "node:util";

// Loaded by mocha before the tests (.mocharc.json). Mocha itself fails a run for an exception that nothing catches, and passes over a rejected promise that
// nothing handles. Thrown here, it is such an exception: it fails the test during which, or after which, it came; after the last one it ends the process.
process.on("unhandledRejection", (reason) => {
  throw reason instanceof Error ? reason : new Error(`a promise was rejected, and nothing handled it: ${inspect(reason)}`, { cause: reason });
});

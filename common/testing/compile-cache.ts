import { enableCompileCache, flushCompileCache } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * Where the programs that tests start find each module without its types, and compiled: most of what a start of one takes
 * a processor. An entry is used for the same content of the same file alone.
 */
const FOLDER = process.env.NODE_COMPILE_CACHE ?? join(tmpdir(), "nebula-test-compiled");

enableCompileCache(FOLDER);
process.env.NODE_COMPILE_CACHE = FOLDER;

/** Loaded by mocha (.mocharc.json). */
export const mochaHooks = {
  /** The modules are loaded, and a program that tests kill stores none. */
  beforeAll() {
    flushCompileCache();
  },
};

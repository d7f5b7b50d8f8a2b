/** Where a thread finds its program. A bundled program has it in itself: cli/build puts a data: URL here. */
export const BCRYPT_THREAD = new URL("./bcrypt-thread.ts", import.meta.url);

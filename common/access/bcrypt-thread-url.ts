/** The URL of the program of the thread. A bundled program contains it: cli/build puts a data: URL here. */
export const BCRYPT_THREAD = new URL("./bcrypt-thread.ts", import.meta.url);

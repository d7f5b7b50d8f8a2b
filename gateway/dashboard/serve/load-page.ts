import { NebulaError } from "../../../common/errors/nebula-error.ts";
import type { Page } from "./build-page.ts";

/**
 * Makes the page of its sources. A bundle has the page as it was made by `npm run build`, in place of this file
 * (cli/build/bundle-programs.ts).
 * @throws NebulaError failed_precondition where esbuild is not installed
 */
export async function loadPage(): Promise<Page> {
  try {
    const { buildPage } = await import("./build-page.ts");
    const { stop } = await import("esbuild");
    const { page } = await buildPage();
    await stop(); // its process
    return page;
  } catch (error) {
    if (!isMissing(error)) throw error;
    throw new NebulaError("failed_precondition", "the dashboard is made by esbuild, which is not installed; use npm ci", { cause: error });
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ERR_MODULE_NOT_FOUND";
}

import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";

const CHROMIUM = process.env.NEBULA_TEST_CHROMIUM ?? "/usr/bin/chromium";
const HINT = "Debian: chromium; or set NEBULA_TEST_CHROMIUM";

/** Skips the suite where there is no Chromium; under CI=true that is a failure. */
export function requireChromium(context: Mocha.Context): void {
  if (existsSync(CHROMIUM)) return;
  if (process.env.CI === "true") throw new Error(`there is no browser at ${CHROMIUM}: ${HINT}`);
  console.log(`    (skipped: no browser at ${CHROMIUM}; NEBULA_TEST_CHROMIUM names another)`);
  context.skip();
}

/** Starts a Chromium without a window. @param args more of its own */
export async function openChromium(args: readonly string[] = []): Promise<Browser> {
  if (!existsSync(CHROMIUM)) throw new Error(`there is no browser at ${CHROMIUM}: ${HINT}`);
  return await chromium.launch({
    executablePath: CHROMIUM,
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", ...args],
  });
}

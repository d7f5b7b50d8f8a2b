import { type Code, ConnectError } from "@connectrpc/connect";

/** The answer of a call; undefined if the server refused it with one of these codes. */
export async function unlessRefused<T>(answer: Promise<T>, ...codes: readonly Code[]): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof ConnectError && codes.includes(error.code)) return undefined;
    throw error;
  }
}

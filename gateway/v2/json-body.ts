import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import { hasTooManyJsonValues, TOO_MANY_VALUES } from "../../common/rpc/count-values.ts";
import { isJsonObject } from "../../common/v2/fields-from-json.ts";
import { parseV2Json } from "../../common/v2/parse-json.ts";
import type { RequestBody } from "../http/exchange.ts";
import { V2Refusal } from "./v2-answers.ts";

/** The deepest nesting of lists and objects: v2's own objects have three. */
const DEEPEST = 16;

/**
 * Reads the JSON object in a body of any content type; no body is an empty object. Entries that are null count as absent.
 * Rejects with a V2Refusal: 413 for a body that is too large, 400 for any other content.
 */
export async function jsonBody(body: RequestBody): Promise<JsonObject> {
  const text = await bodyText(body);
  if (text.trim() === "") return {};
  let value: unknown;
  try {
    value = parseV2Json(text, refuseDeep);
  } catch (error) {
    if (error instanceof V2Refusal) throw error;
    throw refused('the body is not valid JSON; use an object such as {"docker_image": "shop:1"}');
  }
  if (!isJsonObject(value))
    throw refused(`the body is ${value === null ? "null" : Array.isArray(value) ? "a list" : `a ${typeof value}`}; use a JSON object`);
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== null));
}

/** Reads a body and ignores it. Rejects as jsonBody does. */
export async function ignoredBody(body: RequestBody): Promise<void> {
  await asRefusal(body.drop());
}

async function bodyText(body: RequestBody): Promise<string> {
  const bytes = await asRefusal(body.read());
  if (hasTooManyJsonValues(bytes)) throw refused(`the body is too much: ${TOO_MANY_VALUES}`);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw refused("the body is not valid UTF-8");
  }
}

async function asRefusal<T>(reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof ConnectError) throw new V2Refusal(413, { error: error.rawMessage });
    throw error;
  }
}

function refuseDeep(value: JsonValue): void {
  if (isDeeperThan(value, DEEPEST)) throw refused(`the body is nested more than ${DEEPEST} levels deep, which nothing here is`);
}

function isDeeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  return levels === 0 || Object.values(value).some((inner) => isDeeperThan(inner, levels - 1));
}

function refused(error: string): V2Refusal {
  return new V2Refusal(400, { error });
}

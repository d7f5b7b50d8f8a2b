import { createServer } from "node:http";
import type { JsonObject } from "@bufbuild/protobuf";
import { listen } from "../../../common/http/listen.ts";

/** Its objects by noun and name; a text is JSON as it is sent. */
export type OriginalContents = Readonly<
  Record<"apps" | "cron_jobs" | "device_groups" | "users" | "user_groups", Readonly<Record<string, JsonObject | string>>>
>;

/** The login of the stand-in's admin. */
export const ORIGINAL_ADMIN = { user: "nebula", password: "nebula" } as const;

const MISSING: Readonly<Record<string, string>> = {
  apps: "app_exists",
  cron_jobs: "cron_job_exists",
  device_groups: "device_group_exists",
  users: "user_exists",
  user_groups: "user_group_exists",
};

/**
 * Stands for a running original manager: the lists and objects of its REST API v2, with the answers that it gives,
 * where nothing else of it is needed. `asked` counts what was asked other than by GET.
 */
export type OriginalManager = AsyncDisposable & { readonly url: string; contents: OriginalContents; readonly changed: number };

export async function startOriginalManager(contents: OriginalContents): Promise<OriginalManager> {
  const authorization = `Basic ${Buffer.from(`${ORIGINAL_ADMIN.user}:${ORIGINAL_ADMIN.password}`).toString("base64")}`;
  let changed = 0;
  const server = createServer((request, response) => {
    const answer = (status: number, body: unknown) => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(typeof body === "string" ? body : JSON.stringify(body));
    };
    if (request.method !== "GET") changed++;
    if (request.headers.authorization !== authorization) return answer(401, "Unauthorized Access");
    const [noun = "", name] = (request.url ?? "")
      .replace(/^\/api\/v2\//, "")
      .split("/")
      .map(decodeURIComponent);
    const objects: Readonly<Record<string, JsonObject | string>> | undefined = isNoun(noun) ? manager.contents[noun] : undefined;
    if (objects === undefined) return answer(404, "<html>Not Found</html>");
    if (name === undefined) return answer(200, { [noun]: Object.keys(objects) });
    const object = objects[name];
    return object === undefined ? answer(403, { [MISSING[noun] ?? ""]: false }) : answer(200, object);
  });
  const { port } = await listen(server, { host: "127.0.0.1", port: 0 }, "the stand-in");
  const manager = {
    url: `http://127.0.0.1:${port}`,
    contents,
    get changed() {
      return changed;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
  return manager;
}

function isNoun(text: string): text is keyof OriginalContents {
  return Object.hasOwn(MISSING, text);
}

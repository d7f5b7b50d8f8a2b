import { assertNever } from "../../../common/errors/assert-never.ts";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { sendJson } from "../../../common/http/send.ts";
import { COUNT, constant, listOf, named, objectOf, TEXTS } from "../openapi/schemas.ts";
import type { Operation } from "../operation.ts";
import { INFO_PATH, type Info } from "./serve-info.ts";

/** GET /device_groups/{device_group}/info: what a device of the group needs, as the original's workers poll it. */
export function infoOperation(info: Info): Operation {
  return {
    method: "GET",
    path: INFO_PATH,
    id: "getDeviceGroupInfo",
    summary: "The whole config of a device_group, as a device needs it. Answers an ETag, and 304 to If-None-Match.",
    answers: [
      {
        status: 200,
        description: "The config. Values of secret_env_vars are in env_vars; apps and cron_jobs that were deleted are left out.",
        schema: objectOf({
          apps: listOf(named("App")),
          apps_list: TEXTS,
          prune_id: COUNT,
          cron_jobs: listOf(named("CronJob")),
          cron_jobs_list: TEXTS,
          device_group_id: COUNT,
        }),
      },
      { status: 304, description: "It is as the ETag says.", schema: undefined },
      { status: 403, description: "There is no such device_group.", schema: objectOf({ device_group_exists: constant(false) }) },
    ],
    async serve({ request, response, caller }, parameter) {
      const deviceGroup = parameter("device_group");
      const gone = new AbortController();
      response.once("close", () => gone.abort());
      const authorization = request.headers.authorization ?? "";
      const outcome = await info.poll({ authorization, deviceGroup, address: caller.address, requestId: caller.requestId }, gone.signal);
      switch (outcome.kind) {
        case "info":
          return info.send(request, response, deviceGroup, outcome.info);
        case "no_such_group":
          return sendJson(response, 403, { device_group_exists: false });
        case "denied":
          throw new NebulaError("permission_denied", outcome.reason);
        case "unauthenticated":
          throw new NebulaError("unauthenticated", outcome.reason);
        default:
          assertNever(outcome);
      }
    },
  };
}

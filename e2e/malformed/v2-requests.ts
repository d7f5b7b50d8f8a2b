import type { DescMessage } from "@bufbuild/protobuf";
import fc from "fast-check";
import { AppSchema } from "../../gen/nebula/v1/app_pb.ts";
import { CronJobSchema } from "../../gen/nebula/v1/cron_job_pb.ts";
import { DeviceGroupSchema } from "../../gen/nebula/v1/device_group_pb.ts";
import { UserGroupSchema } from "../../gen/nebula/v1/user_group_pb.ts";
import { UserSchema } from "../../gen/nebula/v1/user_pb.ts";
import { nearlyJson } from "./arbitrary-message.ts";

export type V2Request = Readonly<{ method: string; path: string; contentType: string | undefined; body: string }>;

const NOUNS: Readonly<Record<string, DescMessage>> = {
  apps: AppSchema,
  cron_jobs: CronJobSchema,
  device_groups: DeviceGroupSchema,
  users: UserSchema,
  user_groups: UserGroupSchema,
};

const name = fc.oneof(
  fc.constantFrom("a", "b", "web", "pos"),
  fc.string({ maxLength: 20 }).map(encodeURIComponent),
  fc.constantFrom("%", "%zz", "..", "%2f", "%00"),
);
const verb = fc.constantFrom("", "", "/update", "/update", "/start", "/stop", "/restart", "/prune", "/info", "/refresh", "/nonsense");
const query = fc.oneof(
  fc.constant(""),
  fc
    .tuple(
      fc.constantFrom("page_size", "hostname", "report_creation_time", "report_creation_time_filter", "updated", "last_id", "x"),
      fc.string({ maxLength: 30 }),
    )
    .map(([key, value]) => `?${key}=${encodeURIComponent(value)}`),
);

/** Requests of REST v2 that are right nearly, of every path and verb; bodies are the noun's objects, other JSON, or noise. */
export const v2Request: fc.Arbitrary<V2Request> = fc.constantFrom(...Object.keys(NOUNS)).chain((noun) =>
  fc
    .record({
      method: fc.constantFrom("GET", "POST", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"),
      path: fc.oneof(
        { weight: 12, arbitrary: fc.tuple(name, verb).map(([name, verb]) => `/api/v2/${noun}/${name}${verb}`) },
        {
          weight: 1,
          arbitrary: fc.constantFrom("status", "reports", "prune", noun, "", "openapi.json", "nonsense").map((path) => `/api/v2/${path}`),
        },
      ),
      query,
      contentType: fc.constantFrom("application/json", "application/json", undefined, "text/plain", "application/x-www-form-urlencoded"),
      body: fc.oneof(
        { weight: 8, arbitrary: nearlyJson(NOUNS[noun] ?? AppSchema).map((value) => JSON.stringify(value)) },
        { weight: 1, arbitrary: fc.json() },
        { weight: 1, arbitrary: fc.constantFrom("null", "[]", "", "{", "1", '"x"') },
        { weight: 1, arbitrary: fc.string() },
      ),
    })
    .map(({ path, query, ...rest }) => ({ ...rest, path: path + query })),
);

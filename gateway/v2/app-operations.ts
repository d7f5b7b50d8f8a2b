import type { JsonObject } from "@bufbuild/protobuf";
import { appFromV2 } from "../../common/v2/entity-from-v2.ts";
import { appToV2 } from "../../common/v2/entity-to-v2.ts";
import { type App, AppService } from "../../gen/nebula/v1/app_pb.ts";
import { entityOperations, MISSING_PARAMETERS, refusal } from "./entity-operations.ts";
import { named } from "./openapi/schemas.ts";
import type { DescribedAnswer, Operation, V2Call } from "./operation.ts";
import { APPS, inWords, present, refuseFaults, refuseMissing } from "./v2-answers.ts";

const { createApp, getApp, listApps, updateApp, deleteApp, startApp, stopApp, restartApp } = AppService.method;
const REQUIRED = ["docker_image"];
const MISSING = { app_exists: false };
const NOT_RUNNING = { running_before_restart: false };

const PORTS: readonly DescribedAnswer[] = [
  refusal(400, "A port is not within 1 to 65535.", { starting_ports: "invalid port" }),
  refusal(403, "starting_ports is not a list of ports.", { starting_ports: "can only be a list containing integers or dicts" }),
];

type Call = V2Call["call"];
type Changed = Readonly<{ app?: App | undefined }>;

/** Apps, and their start, stop and restart. */
export const APP_OPERATIONS: readonly Operation[] = [
  ...entityOperations({
    noun: APPS,
    async list(call, page) {
      const { apps, nextPageToken } = await call(listApps, page);
      return { names: apps.map(({ name }) => name), nextPageToken };
    },
    get: async (call, name) => shown(await call(getApp, { name })),
    async create(call, name, body) {
      return shown(await call(createApp, { app: wholeApp(name, body) }));
    },
    remove: (call, name) => call(deleteApp, { name }),
    async change(call, name, body) {
      const { message: app, given, faults } = appFromV2(name, body);
      refuseFaults(faults);
      return shown(await call(updateApp, { app, updateFields: [...given], redeploy: true }));
    },
    async replace(call, name, body) {
      const app = shown(await call(updateApp, { app: wholeApp(name, body), updateFields: ["*"], redeploy: true }));
      return Object.hasOwn(body, "env_vars") ? app : { ...app, env_vars: [] }; // as in the original
    },
    updated: { status: 202, missing: { change: MISSING, replace: MISSING } },
    refusals: { given: PORTS, whole: [MISSING_PARAMETERS] },
  }),
  action("start", "Starts the containers of an app. Its id rises at every call.", [], async (call, name) => call(startApp, { name })),
  action("stop", "Stops and removes the containers of an app. Its id rises at every call.", [], async (call, name) => call(stopApp, { name })),
  action(
    "restart",
    "Re-creates the containers of an app after pulling the image again.",
    [refusal(403, "The app is not running.", NOT_RUNNING)],
    async (call, name) => call(restartApp, { name }),
  ),
];

function action(verb: string, summary: string, refusals: readonly DescribedAnswer[], act: (call: Call, name: string) => Promise<Changed>): Operation {
  const { nameField, plural, schema } = APPS;
  return {
    method: "POST",
    path: `/${plural}/{${nameField}}/${verb}`,
    id: `${verb}${schema}`,
    summary,
    answers: [
      { status: 202, description: "The app as it is now.", schema: named(schema) },
      refusal(403, "There is no such app.", MISSING),
      ...refusals,
    ],
    handle: ({ call, parameter }) =>
      inWords({ nameField, missing: MISSING, forbidden: NOT_RUNNING }, async () => ({
        status: 202,
        body: shown(await act(call, parameter(nameField))),
      })),
  };
}

function wholeApp(name: string, body: JsonObject): App {
  refuseMissing(body, REQUIRED);
  const { message, faults } = appFromV2(name, body);
  refuseFaults(faults);
  return message;
}

function shown({ app }: Changed): JsonObject {
  return appToV2(present(app, "app"));
}

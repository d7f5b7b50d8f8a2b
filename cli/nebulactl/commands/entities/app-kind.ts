import { create } from "@bufbuild/protobuf";
import { type App, AppSchema, AppService } from "../../../../gen/nebula/v1/app_pb.ts";
import { answered, condition, type EntityCalls, type Kind, minRevisionOf } from "./kind.ts";

const appCalls: EntityCalls<App> = {
  async create({ client, signal }, app, minimums = {}) {
    const answer = await (await client(AppService)).createApp({ app, ...minRevisionOf(minimums) }, { signal });
    return { entity: answered(answer.app, "app"), warnings: answer.warnings };
  },
  async get({ client, signal }, name) {
    const answer = await (await client(AppService)).getApp({ name }, { signal });
    return { entity: answered(answer.app, "app"), lastChange: answer.lastChange };
  },
  async page({ client, signal }, pageSize, pageToken) {
    const { apps, nextPageToken } = await (await client(AppService)).listApps({ pageSize, pageToken }, { signal });
    return { items: apps, nextPageToken };
  },
  async update({ client, signal }, { entity: app, paths, ifRevision, redeploy = false, minimums = {} }) {
    const answer = await (await client(AppService)).updateApp(
      { app, updateFields: [...paths], redeploy, ...condition(ifRevision), ...minRevisionOf(minimums) },
      { signal },
    );
    return { entity: answered(answer.app, "app"), warnings: answer.warnings };
  },
  async remove({ client, signal }, name, ifRevision) {
    const { revision, warnings } = await (await client(AppService)).deleteApp({ name, ...condition(ifRevision) }, { signal });
    return { revision, warnings };
  },
};

export const appKind: Kind<App> = {
  kind: "app",
  calls: appCalls,
  make: (name, fields) => Object.assign(create(AppSchema), fields, { name }),
  validate: async (entity) => (await import("../../../../common/validation/app.ts")).validateWrittenApp(entity),
  toResource: (app) => ({ kind: "app", app }),
};

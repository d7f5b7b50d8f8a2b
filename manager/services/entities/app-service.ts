import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { appWarnings } from "../../../common/validation/ports.ts";
import type { App, AppService } from "../../../gen/nebula/v1/app_pb.ts";
import { isPermitted } from "../../access/rights/permit.ts";
import { actOnEntity, createEntity, deleteEntity, getEntity, listEntities, updateEntity } from "../../entities/entity-operations.ts";
import { APP } from "../../entities/entity-type.ts";
import { warningsOfDelete, warningsOfMember } from "../../entities/group-warnings.ts";
import { warningsOfName } from "../../entities/name-warnings.ts";
import { type EntityDeps, EntityWriter } from "../../entities/write-entity.ts";
import type { CallContext, ServiceHandlers } from "../../rpc/call-context.ts";

/** AppService: apps, and their start, stop and restart. */
export function createAppServiceHandlers(deps: EntityDeps): ServiceHandlers<typeof AppService> {
  const writer = new EntityWriter(APP, deps);
  const warningsOf = async (app: App, { principal }: CallContext) => [
    ...appWarnings(app),
    ...(await warningsOfMember(deps, { kind: "app", name: app.name }, principal)),
  ];

  return {
    async createApp({ app: given, minRevision }, context) {
      const { entity: app } = await createEntity(writer, { given, minRevision }, context);
      const inOtherCase = await warningsOfName(deps, { kind: "app", name: app.name }, context.principal);
      return { app, warnings: [...(await warningsOf(app, context)), ...inOtherCase] };
    },

    async getApp({ name }, context) {
      const { entity: app, lastChange } = await getEntity(writer, name, context);
      return { app, lastChange, mayWrite: isPermitted(context.principal, { kind: "write", entity: { kind: "app", name } }, false) };
    },

    async listApps(request, context) {
      const { entities: apps, nextPageToken } = await listEntities(writer, request, context);
      return { apps, nextPageToken };
    },

    async updateApp({ app: given, updateFields, ifRevision, redeploy, minRevision }, context) {
      const { entity: app } = await updateEntity(
        writer,
        { given, updateFields, ifRevision, redeploy, minRevision, redeployed: recreateContainers },
        context,
      );
      return { app, warnings: await warningsOf(app, context) };
    },

    async deleteApp(request, context) {
      const { entity: app } = await deleteEntity(writer, request, context);
      return { revision: app.revision, warnings: await warningsOfDelete(deps, { kind: "app", name: app.name }, context.principal) };
    },

    async startApp({ name, ifRevision }, context) {
      return {
        app: await actOnEntity(writer, { name, ifRevision, action: "start" }, context, (app) => {
          app.running = true;
        }),
      };
    },

    async stopApp({ name, ifRevision }, context) {
      return {
        app: await actOnEntity(writer, { name, ifRevision, action: "stop" }, context, (app) => {
          app.running = false;
        }),
      };
    },

    async restartApp({ name, ifRevision }, context) {
      return {
        app: await actOnEntity(writer, { name, ifRevision, action: "restart" }, context, (app) => {
          if (app.running === false) throw new NebulaError("failed_precondition", `app ${app.name} is not running: start it`);
          recreateContainers(app);
        }),
      };
    },
  };
}

/** Has devices re-create the containers, after another pull. */
function recreateContainers(app: App): void {
  app.restartCount += 1n;
}

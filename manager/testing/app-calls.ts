import { strict as assert } from "node:assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type ErrorKind, isNebulaError } from "../../common/errors/nebula-error.ts";
import { readHistory } from "../../common/testing/read-all.ts";
import {
  type App,
  AppSchema,
  CreateAppRequestSchema,
  DeleteAppRequestSchema,
  GetAppRequestSchema,
  UpdateAppRequestSchema,
} from "../../gen/nebula/v1/app_pb.ts";
import type { CallContext } from "../rpc/call-context.ts";
import { callOf, type EntityRig } from "./entity-rig.ts";

export type AppInit = MessageInitShape<typeof AppSchema>;
export type UpdateInit = Omit<Exclude<MessageInitShape<typeof UpdateAppRequestSchema>, { $typeName: string }>, "app">;

/** Calls of AppService about one app, `web`, by the admin `ann` unless the call says otherwise. */
export class AppCalls {
  readonly #rig: EntityRig;

  constructor(rig: EntityRig) {
    this.#rig = rig;
  }

  async create(app: AppInit = {}, context: CallContext = callOf("ann"), minRevision?: bigint): Promise<App> {
    const request = create(CreateAppRequestSchema, {
      app: { name: "web", dockerImage: "shop:1.4", ...app },
      ...(minRevision === undefined ? {} : { minRevision }),
    });
    return answered((await this.#rig.apps.createApp(request, context)).app);
  }

  async update(app: AppInit, updateFields: string[], more: UpdateInit = {}, context = callOf("ann"), handlers = this.#rig.apps): Promise<App> {
    const request = create(UpdateAppRequestSchema, { app: { name: "web", ...app }, updateFields, ...more });
    return answered((await handlers.updateApp(request, context)).app);
  }

  async get(name = "web"): Promise<App> {
    return answered((await this.#rig.apps.getApp(create(GetAppRequestSchema, { name }), callOf("ann"))).app);
  }

  delete(name = "web", ifRevision?: bigint) {
    const request = create(DeleteAppRequestSchema, { name, ...(ifRevision === undefined ? {} : { ifRevision }) });
    return this.#rig.apps.deleteApp(request, callOf("ann"));
  }

  history() {
    return readHistory(this.#rig.store, { kind: "app", name: "web" });
  }
}

/** The app of an answer, which is one. */
export function answered(app: AppInit | undefined): App {
  return create(AppSchema, app ?? assert.fail("the answer holds no app"));
}

/** For assert.rejects: a NebulaError of this kind, in these words. */
export function refusal(kind: ErrorKind, words: RegExp): (error: unknown) => boolean {
  return (error) => (isNebulaError(error, kind) && words.test(error.message) ? true : assert.fail(`not ${kind} ${words}: ${String(error)}`));
}

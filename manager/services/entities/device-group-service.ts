import { isNebulaError } from "../../../common/errors/nebula-error.ts";
import type { DeviceGroup, DeviceGroupService } from "../../../gen/nebula/v1/device_group_pb.ts";
import type { Need } from "../../access/rights/method-table.ts";
import { isPermitted } from "../../access/rights/permit.ts";
import { mayPrune } from "../../access/rights/rights.ts";
import { actOnEntity, createEntity, deleteEntity, getEntity, listEntities, type Prepare, updateEntity } from "../../entities/entity-operations.ts";
import { DEVICE_GROUP } from "../../entities/entity-type.ts";
import { checkAddedMembers } from "../../entities/group-members.ts";
import { warningsOfGroup } from "../../entities/group-warnings.ts";
import { warningsOfName } from "../../entities/name-warnings.ts";
import { type EntityDeps, EntityWriter } from "../../entities/write-entity.ts";
import type { CallContext, ServiceHandlers } from "../../rpc/call-context.ts";

/** Groups that one PruneAll prunes at most, and that it reads at a time: it may end after any of these parts. */
export const PRUNED_PER_CALL = 100;
const PART = 10;
/** A PruneAll ends after this time, milliseconds, before the deadline of its caller passes. */
const PRUNE_ALL_MS = 5000;

/** DeviceGroupService: what belongs together on a set of devices, and when they prune. */
export function createDeviceGroupServiceHandlers(deps: EntityDeps): ServiceHandlers<typeof DeviceGroupService> {
  const writer = new EntityWriter(DEVICE_GROUP, deps);

  const prepared =
    (context: CallContext, minPruneId = 0n): Prepare<DeviceGroup> =>
    async (group, before) => {
      await checkAddedMembers(deps.configStore, group, before, context);
      if (group.pruneId < minPruneId) group.pruneId = minPruneId;
      return group;
    };

  const prune = (name: string, context: CallContext) =>
    actOnEntity(writer, { name, action: "prune" }, context, (group) => {
      group.pruneId += 1n;
    });

  return {
    async createDeviceGroup({ deviceGroup: given, minRevision, minPruneId }, context) {
      const { entity: deviceGroup } = await createEntity(writer, { given, minRevision, minPruneId, prepare: prepared(context, minPruneId) }, context);
      const inOtherCase = await warningsOfName(deps, { kind: "device_group", name: deviceGroup.name }, context.principal);
      return { deviceGroup, warnings: [...(await warningsOfGroup(deps, deviceGroup.name)), ...inOtherCase] };
    },

    async getDeviceGroup({ name, warnings: isAskedForWarnings }, context) {
      const { entity: deviceGroup, lastChange } = await getEntity(writer, name, context);
      const may = (need: Need) => isPermitted(context.principal, need, false);
      const mayWrite = may({ kind: "write", entity: { kind: "device_group", name } });
      const warnings = isAskedForWarnings ? await warningsOfGroup(deps, name) : [];
      return { deviceGroup, lastChange, mayWrite, mayPrune: may({ kind: "prune", deviceGroup: name }), warnings };
    },

    async listDeviceGroups(request, context) {
      const { entities: deviceGroups, nextPageToken } = await listEntities(writer, request, context);
      return { deviceGroups, nextPageToken };
    },

    async updateDeviceGroup({ deviceGroup: given, updateFields, ifRevision, redeploy, minRevision, minPruneId }, context) {
      const fields = { given, updateFields, ifRevision, redeploy, minRevision, minPruneId, prepare: prepared(context, minPruneId) };
      const { entity: deviceGroup } = await updateEntity(writer, fields, context);
      return { deviceGroup, warnings: await warningsOfGroup(deps, deviceGroup.name) };
    },

    async deleteDeviceGroup(request, context) {
      const { entity: deviceGroup } = await deleteEntity(writer, request, context);
      return { revision: deviceGroup.revision };
    },

    async prune({ name }, context) {
      return { deviceGroup: await prune(name, context) };
    },

    /** Prunes what the caller may prune: as many groups as a call may, and says where the next one goes on. */
    async pruneAll({ pageToken }, context) {
      const { principal, signal } = context;
      const begun = deps.clock.monotonic();
      const pruneIds: Record<string, bigint> = {};
      let next = pageToken;
      for (let read = 0; read < PRUNED_PER_CALL; read += PART) {
        const { entities: groups, nextPageToken } = await listEntities(writer, { pageSize: PART, pageToken: next }, context);
        for (const { name } of groups) {
          signal.throwIfAborted();
          if (principal.kind !== "user" || !mayPrune(principal.rights, name)) continue;
          try {
            pruneIds[name] = (await prune(name, context)).pruneId;
          } catch (error) {
            if (!isNebulaError(error, "not_found")) throw error; // deleted since the page was read
          }
        }
        next = nextPageToken;
        if (next === "" || deps.clock.monotonic() >= begun + PRUNE_ALL_MS) break;
      }
      return { pruneIds, nextPageToken: next };
    },
  };
}

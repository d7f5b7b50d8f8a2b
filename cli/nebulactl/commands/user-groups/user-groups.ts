import { permissionsText } from "../../../../common/insight/text/access-text.ts";
import type { UserGroup } from "../../../../gen/nebula/v1/user_group_pb.ts";
import type { Noun } from "../../command/command.ts";
import type { TextFlag } from "../../command/flags.ts";
import { entityNoun } from "../entities/noun.ts";
import { userGroupKind } from "../entities/user-group-kind.ts";

const USER_GROUP: TextFlag = {
  kind: "text",
  name: "user-group",
  aliases: ["group"],
  short: "g",
  placeholder: "USER_GROUP",
  offers: { names: "user_group" },
  help: "The name of the user_group.",
};

/** User_groups: what users may do. */
export const userGroups: Noun = entityNoun<UserGroup>({
  kind: userGroupKind,
  name: "user-groups",
  aliases: ["user-group"],
  summary: "Manages user_groups: what users may do.",
  exampleName: "shopkeepers",
  nameFlag: USER_GROUP,
  header: ["USER_GROUP", "REVISION", "MEMBERS", "APPS", "CRON_JOBS", "DEVICE_GROUPS", "PRUNING", "ADMIN"],
  row: (group) => [
    group.name,
    String(group.revision),
    group.groupMembers.join(","),
    permissionsText(group.apps),
    permissionsText(group.cronJobs),
    permissionsText(group.deviceGroups),
    group.pruningAllowed ? "yes" : "no",
    group.admin ? "yes" : "no",
  ],
  async changes() {
    const [fields, { membersOfGroup }] = await Promise.all([import("../../fields/group-fields.ts"), import("../entities/in-use.ts")]);
    return {
      requiredAtCreate: [],
      redeploys: false,
      fieldsOfCreate: fields.userGroupFieldsOfCreate,
      fieldsOfUpdate: fields.userGroupFieldsOfUpdate,
      findUse: membersOfGroup,
      examples: {
        create: [
          "nebulactl user-groups create ops --group-members ann,bob --apps 'shop-*:rw,db:ro' --device-groups pos:ro --pruning-allowed",
          "nebulactl user-groups create --user-group root --group-members ann --admin",
        ],
        update: [
          "nebulactl user-groups update ops --grant app/web:rw --revoke app/db",
          "nebulactl user-groups update ops --group-members ann,bob,cyd",
        ],
      },
    };
  },
  moreVerbs: [],
});

import type { View } from "./view.ts";
import { accountView } from "./views/account/account.tsx";
import { appView } from "./views/app/app.tsx";
import { appCreateView, appEditView } from "./views/app-edit/app-edit.tsx";
import { appsView } from "./views/apps/apps.tsx";
import { auditView } from "./views/audit/audit.tsx";
import { changeView } from "./views/change/change.tsx";
import { deviceView } from "./views/device/device.tsx";
import { devicesView } from "./views/devices/devices.tsx";
import { groupView } from "./views/group/group.tsx";
import { overviewView } from "./views/overview/overview.tsx";
import { userGroupView } from "./views/user-groups/user-group.tsx";
import { userGroupsView } from "./views/user-groups/user-groups.tsx";
import { userView } from "./views/users/user.tsx";
import { usersView } from "./views/users/users.tsx";

/** All views, in the order of the navigation. */
export const VIEWS: readonly View[] = [
  overviewView,
  devicesView,
  groupView,
  appsView,
  appView,
  appEditView,
  appCreateView,
  deviceView,
  changeView,
  usersView,
  userView,
  userGroupsView,
  userGroupView,
  auditView,
  accountView,
];

import type { View } from "./view.ts";
import { appView } from "./views/app/app.tsx";
import { appCreateView, appEditView } from "./views/app-edit/app-edit.tsx";
import { changeView } from "./views/change/change.tsx";
import { deviceView } from "./views/device/device.tsx";
import { devicesView } from "./views/devices/devices.tsx";
import { groupView } from "./views/group/group.tsx";
import { overviewView } from "./views/overview/overview.tsx";

/** All views, in the order of the navigation. */
export const VIEWS: readonly View[] = [overviewView, devicesView, groupView, appView, appEditView, appCreateView, deviceView, changeView];

import type { View } from "./view.ts";
import { changeView } from "./views/change/change.tsx";
import { deviceView } from "./views/device/device.tsx";
import { devicesView } from "./views/devices/devices.tsx";
import { overviewView } from "./views/overview/overview.tsx";

/** All views, in the order of the navigation. */
export const VIEWS: readonly View[] = [overviewView, devicesView, deviceView, changeView];

import type { View } from "./view.ts";
import { devicesView } from "./views/devices/devices.tsx";
import { overviewView } from "./views/overview/overview.tsx";

/** All views, in the order of the navigation. */
export const VIEWS: readonly View[] = [overviewView, devicesView];

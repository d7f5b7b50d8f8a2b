/** The way from an empty server to the first device. Pure. */
import type { GetOverviewResponse } from "../../../../../gen/nebula/v1/fleet_pb.ts";
import { groupAddress } from "../../addresses/entity-addresses.ts";
import { commandLine } from "../../parts/format.ts";
import { devicesOf } from "./overview-model.ts";

/** A step, in the order in which they are done. `isOffered`: whether the caller may do it now. */
export type Step = Readonly<{
  key: "app" | "group" | "device";
  title: string;
  text: string;
  isDone: boolean;
  isOffered: boolean;
  /** The line of nebulactl that does it. */
  line: string;
}>;

/** Whether the way to the first device is to be shown: no device came yet. A group that was not counted has devices. */
export function isBeforeFirstDevice({ fleet, groups }: GetOverviewResponse): boolean {
  const states = fleet?.states;
  return devicesOf(states) + (states?.neverCame ?? 0n) === 0n && groups.every(({ uncounted }) => !uncounted);
}

/** @param app an app that exists, undefined if the caller may see none */
export function firstSteps({ groups, mayCreate }: GetOverviewResponse, app: string | undefined): readonly Step[] {
  const group = mayCreate?.enrolmentGroups[0] ?? groups.find(({ revision }) => revision > 0n)?.deviceGroup;
  return [
    {
      key: "app",
      title: "Create an app",
      text: "An image, and how its containers run.",
      isDone: app !== undefined,
      isOffered: mayCreate?.apps ?? false,
      line: commandLine(["nebulactl", "apps", "create", "APP", "--image", "IMAGE"]),
    },
    {
      key: "group",
      title: "Create a device group with it",
      text: "Devices of a group run its apps, and follow each change of them.",
      isDone: group !== undefined,
      isOffered: mayCreate?.deviceGroups ?? false,
      line: commandLine(["nebulactl", "device-groups", "create", "GROUP", "--apps", app ?? "APP"]),
    },
    {
      key: "device",
      title: "Make an enrolment token",
      text: "With it a machine becomes a device of the group.",
      isDone: false,
      isOffered: (mayCreate?.enrolmentGroups.length ?? 0) > 0,
      line: commandLine(["nebulactl", "devices", "enroll", "--device-group", group ?? "GROUP"]),
    },
  ];
}

/** Where an enrolment token is made: the first groups that the caller may change, by name. */
export function enrolmentPlaces({ mayCreate }: GetOverviewResponse): readonly Readonly<{ name: string; to: string }>[] {
  return (mayCreate?.enrolmentGroups ?? []).map((name) => ({ name, to: groupAddress(name) }));
}

import type { Locator } from "playwright-core";
import type { DashboardPage, DashboardRig } from "./dashboard-rig.ts";

/** Opens a tab that is logged in, as the local admin unless a user is given. */
export async function openEditor(rig: DashboardRig, address: string, user?: Readonly<{ name: string; password: string }>): Promise<DashboardPage> {
  const tab = await rig.open(address);
  await tab.login(user?.name, user?.password);
  return tab;
}

/** The field of this label. */
export function field({ page }: DashboardPage, label: string): Locator {
  return page.getByRole("textbox", { name: label, exact: true });
}

/** Presses the button of this name. */
export async function press({ page }: DashboardPage, name: string): Promise<void> {
  await page.getByRole("button", { name, exact: true }).click();
}

/** The part of an editor that shows the plan of its draft. */
export function panel({ page }: DashboardPage): Locator {
  return page.getByRole("region", { name: "Plan" });
}

/** The button that applies the plan. */
export function apply({ page }: DashboardPage): Locator {
  return page.getByRole("button", { name: "Apply", exact: true });
}

import type { LoginCounts } from "./access/login-counts.ts";
import type { ReportBus } from "./bus/report-bus.ts";
import type { ChangeFeed } from "./feed/change-feed.ts";
import type { Membership } from "./membership/membership.ts";
import type { AccessStore } from "./storage/access-store.ts";
import type { ConfigCache } from "./storage/config-cache.ts";
import type { ConfigStore } from "./storage/config-store.ts";
import type { ReportStore } from "./storage/report-store.ts";
import type { PolledMarks } from "./v2/polled-marks.ts";

/** Every outside system a part may need, opened by URL. */
export type Drivers = Readonly<{
  configStore: ConfigStore;
  configCache: ConfigCache;
  accessStore: AccessStore;
  reportStore: ReportStore;
  reportBus: ReportBus;
  changeFeed: ChangeFeed;
  membership: Membership;
  loginCounts: LoginCounts;
  polledMarks: PolledMarks;
}>;

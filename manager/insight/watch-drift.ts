/**
 * DriftService.
 *
 * W1 A message comes at most every LEAST_MS, and holds the drift of the groups in which it changed as of when it is asked for.
 * W2 The newest config of a group is read again at every message, and every CHECK_MS.
 */
import { create, equals, type MessageInitShape } from "@bufbuild/protobuf";
import type { Clock } from "../../common/clock/clock.ts";
import { assertNoViolations, type Violation } from "../../common/errors/nebula-error.ts";
import type { ChangeFeed } from "../../common/feed/change-feed.ts";
import { mapLimited } from "../../common/map-limited.ts";
import type { ConfigStore } from "../../common/storage/config-store.ts";
import type { PageRequest } from "../../common/storage/page.ts";
import { noSuch } from "../../common/text/no-such.ts";
import { pageOf } from "../../common/validation/list-request.ts";
import { validateName } from "../../common/validation/names.ts";
import {
  type DriftService,
  type GroupDrift,
  GroupDriftSchema,
  type WatchDriftRequest,
  type WatchDriftResponseSchema,
} from "../../gen/nebula/v1/drift_pb.ts";
import { assertMayReadGroups } from "../access/rights/permit.ts";
import type { VisiblePages } from "../access/rights/visible-pages.ts";
import { listReadableNames } from "../entities/readable-entities.ts";
import type { ServiceHandlers, ServiceStreams, StreamContext } from "../rpc/call-context.ts";
import { driftOf, readNewest } from "./drift.ts";
import type { GroupView, GroupViews } from "./views/group-view.ts";

const LEAST_MS = 1000;
const CHECK_MS = 10_000;
/** Groups of one call, and of them views that are opened at once. */
const MOST_GROUPS = 100;
const DEFAULT_GROUPS = 20;
const AT_ONCE = 4;

export type DriftParts = Readonly<{
  groupViews: GroupViews;
  configStore: Pick<ConfigStore, "get" | "getMany" | "names">;
  changeFeed: Pick<ChangeFeed, "subscribe">;
  visiblePages: VisiblePages;
  clock: Clock;
}>;

/** DriftService: what the devices of the groups that the caller may read run, beside what they should. */
export function createDriftServiceHandlers(parts: DriftParts): ServiceHandlers<typeof DriftService> {
  const { configStore, visiblePages, groupViews } = parts;
  const read = async (deviceGroup: string, signal: AbortSignal) => {
    using view = await groupViews.open(deviceGroup, signal);
    return groupDrift(parts, view, signal);
  };
  return {
    async getDrift({ deviceGroup, pageSize, pageToken }, { principal, signal }) {
      assertNoViolations([...(deviceGroup === "" ? [] : validateName(deviceGroup, "device_group")), ...pageViolations(pageSize)]);
      if (deviceGroup !== "") {
        assertMayReadGroups(principal, [deviceGroup]);
        const drift = await read(deviceGroup, signal);
        if (drift === undefined) throw noSuch("device_group", deviceGroup);
        return { groups: [drift], nextPageToken: "" };
      }
      const page = pageOf({ pageSize: pageSize === 0 ? DEFAULT_GROUPS : pageSize, pageToken });
      const list = (part: PageRequest) => listReadableNames(configStore, "device_group", principal, part, signal);
      const { items, next } = await visiblePages(list, page, undefined);
      const drifts = await mapLimited(items, AT_ONCE, (name) => read(name, signal));
      return { groups: drifts.filter((drift) => drift !== undefined), nextPageToken: next ?? "" };
    },
  };
}

export function createDriftServiceStreams(parts: DriftParts): ServiceStreams<typeof DriftService> {
  return { watchDrift: (request, context) => watchDrift(parts, request, context) };
}

type Message = MessageInitShape<typeof WatchDriftResponseSchema>;

/** The messages of one WatchDrift. */
export async function* watchDrift(
  parts: DriftParts,
  { deviceGroups }: WatchDriftRequest,
  { principal, signal, keepAllowed }: Pick<StreamContext, "principal" | "signal" | "keepAllowed">,
): AsyncGenerator<Message, void> {
  assertNoViolations(groupsViolations(deviceGroups));
  assertMayReadGroups(principal, deviceGroups);
  keepAllowed((now) => assertMayReadGroups(now, deviceGroups));
  const { groupViews, changeFeed, clock } = parts;
  using held = new DisposableStack();
  const changed = new Set(deviceGroups);
  let wake = new AbortController();
  const views: GroupView[] = [];
  for (const name of deviceGroups) {
    const view = held.use(await groupViews.open(name, signal));
    views.push(view);
    held.use(
      view.onChange(() => {
        changed.add(name);
        wake.abort();
      }),
    );
  }
  held.use(
    changeFeed.subscribe((event) => {
      if (event.kind !== "entity" && event.kind !== "gap") return;
      for (const name of deviceGroups) changed.add(name); // which groups name the entity is not known
      wake.abort();
    }),
  );
  const sent = new Map<string, GroupDrift>();
  const until = AbortSignal.any([signal, ...views.map(({ ended }) => ended)]);
  for (;;) {
    until.throwIfAborted();
    wake = new AbortController();
    const due = views.filter(({ deviceGroup }) => changed.has(deviceGroup));
    changed.clear();
    const drifts = await mapLimited(due, AT_ONCE, async (view) =>
      create(GroupDriftSchema, (await groupDrift(parts, view, until)) ?? { deviceGroup: view.deviceGroup }),
    );
    const news = drifts.filter((drift) => {
      const before = sent.get(drift.deviceGroup);
      return before === undefined || !equals(GroupDriftSchema, before, drift);
    });
    for (const drift of news) sent.set(drift.deviceGroup, drift);
    if (news.length > 0) yield { groups: news };
    await clock.sleep(LEAST_MS, until); // W1
    const woken = AbortSignal.any([until, wake.signal]);
    if (changed.size === 0) await clock.sleep(CHECK_MS - LEAST_MS, woken).catch(() => until.throwIfAborted());
    if (changed.size === 0) for (const name of deviceGroups) changed.add(name); // W2
  }
}

async function groupDrift({ configStore }: DriftParts, view: GroupView, signal: AbortSignal) {
  const newest = await readNewest(configStore, view.deviceGroup, signal);
  return newest === undefined ? undefined : driftOf(newest, view.devices.values());
}

function pageViolations(pageSize: number): Violation[] {
  if (pageSize <= MOST_GROUPS) return [];
  return [{ field: "page_size", description: `${pageSize} is too many; use 1 to ${MOST_GROUPS}, or 0 for ${DEFAULT_GROUPS}` }];
}

function groupsViolations(names: readonly string[]): Violation[] {
  const field = "device_groups";
  if (names.length === 0 || names.length > MOST_GROUPS) return [{ field, description: `has ${names.length} entries; use 1 to ${MOST_GROUPS}` }];
  const twice = names.findIndex((name, at) => names.indexOf(name) !== at);
  return [
    ...names.flatMap((name, at) => validateName(name, `${field}[${at}]`)),
    ...(twice < 0 ? [] : [{ field: `${field}[${twice}]`, description: "is listed before already; name it once" }]),
  ];
}

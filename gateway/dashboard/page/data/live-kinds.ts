/**
 * Everything that may be followed live, each with a name. A kind says how its state is read at once, and how it is made
 * of the messages of a stream; a state is one message of the API, whole, so that it passes between the worker and tabs.
 *
 * To add a kind: an entry in KINDS. A part follows it with useLive("NAME", request).
 */
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { create, fromBinary, isMessage, toBinary } from "@bufbuild/protobuf";
import { base64Decode, base64Encode } from "@bufbuild/protobuf/wire";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { FailedDevices } from "../../../../common/insight/failed-devices.ts";
import {
  type ApplyCodeCount,
  ApplyService,
  type ApplyTarget,
  ApplyTargetSchema,
  type WatchApplyResponse,
  WatchApplyResponseSchema,
} from "../../../../gen/nebula/v1/apply_pb.ts";
import {
  FleetService,
  type GetOverviewResponse,
  GetOverviewResponseSchema,
  type GroupOverview,
  type WatchOverviewResponse,
} from "../../../../gen/nebula/v1/fleet_pb.ts";
import { StatusService } from "../../../../gen/nebula/v1/status_pb.ts";
import type { PageUser, Source } from "./live-hub.ts";

type Kind<Request, Schema extends DescMessage> = Readonly<{
  /** Of its state. */
  schema: Schema;
  read: (transport: Transport, request: Request, signal: AbortSignal) => Promise<MessageShape<Schema>>;
  /** Absent if there is no stream of it. */
  open?: (transport: Transport, request: Request, signal: AbortSignal) => AsyncIterable<MessageShape<Schema>>;
}>;

/** A request is JSON: it is a part of the key. */
export type OverviewRequest = Readonly<{ deviceGroups: readonly string[]; members: boolean }>;

const overview: Kind<OverviewRequest, typeof GetOverviewResponseSchema> = {
  schema: GetOverviewResponseSchema,
  read: readOverview,
  open: (transport, request, signal) => foldOverview(createClient(FleetService, transport).watchOverview(mutable(request), { signal })),
};

/** The followed target of a change, encoded (the page has no JSON of the API), in base64. */
export type ApplyRequest = string;

export function applyRequest(target: ApplyTarget): ApplyRequest {
  return base64Encode(toBinary(ApplyTargetSchema, target));
}

const apply: Kind<ApplyRequest, typeof WatchApplyResponseSchema> = {
  schema: WatchApplyResponseSchema,
  read: readApply,
  open: (transport, request, signal) => {
    const watched = { targets: [applyTarget(request)], settleMs: FOLLOWED_MS, timeoutMs: FOLLOWED_MS };
    return foldApply(createClient(ApplyService, transport).watchApply(watched, { signal }));
  },
};

const KINDS = { overview, apply };

export type LiveName = keyof typeof KINDS;
export type LiveRequest<Name extends LiveName> = (typeof KINDS)[Name] extends Kind<infer Request, DescMessage> ? Request : never;
export type LiveState<Name extends LiveName> = MessageShape<(typeof KINDS)[Name]["schema"]>;

export function liveKey<Name extends LiveName>(name: Name, request: LiveRequest<Name>): string {
  return `${name} ${JSON.stringify(request)}`;
}

/** Whether a state that arrives from the hub is of this kind: the worker may be of another version of the page. */
export function isLiveState<Name extends LiveName>(name: Name, state: unknown): state is LiveState<Name> {
  return isMessage(state, KINDS[name].schema);
}

/** Where the state comes from that a key names. */
export function sourceOf(transport: Transport): (key: string) => Source {
  return (key) => {
    const { read, open } = KINDS[nameOf(key)];
    const request = JSON.parse(key.slice(key.indexOf(" ") + 1));
    return {
      read: (signal) => read(transport, request, signal),
      ...(open === undefined ? {} : { open: (signal) => open(transport, request, signal) }),
    };
  };
}

function nameOf(key: string): LiveName {
  const name = Object.keys(KINDS).find((name): name is LiveName => key.startsWith(`${name} `));
  if (name === undefined) throw new Error(`nothing live is named ${key}`);
  return name;
}

/** Asks whether the server answers, and which user it takes the caller for. */
export function pulseOf(transport: Transport): (signal: AbortSignal) => Promise<PageUser> {
  return async (signal) => {
    const { user, admin } = await createClient(StatusService, transport).getStatus({}, { signal, timeoutMs: 5000 });
    return { user, isAdmin: admin };
  };
}

// --- the overview

const PAGE_SIZE = 1000;

/** All pages. */
async function readOverview(transport: Transport, request: OverviewRequest, signal: AbortSignal): Promise<GetOverviewResponse> {
  const client = createClient(FleetService, transport);
  const answer = async (pageToken: string) => client.getOverview({ ...mutable(request), pageSize: PAGE_SIZE, pageToken }, { signal });
  let page = await answer("");
  const state = page;
  const groups = [...page.groups];
  while (page.nextPageToken !== "") {
    page = await answer(page.nextPageToken);
    groups.push(...page.groups);
  }
  return { ...state, groups, nextPageToken: "" };
}

/** Makes the whole overview of messages that say what changed; the first one when all device_groups were sent. */
export async function* foldOverview(messages: AsyncIterable<WatchOverviewResponse>): AsyncGenerator<GetOverviewResponse, void> {
  const groups = new Map<string, GroupOverview>();
  const state = create(GetOverviewResponseSchema);
  for await (const { fleet, groups: changed, left, recentChanges, mayCreate, complete } of messages) {
    for (const group of changed) groups.set(group.deviceGroup, group);
    for (const name of left) groups.delete(name);
    if (fleet !== undefined) state.fleet = fleet;
    if (recentChanges !== undefined) state.recentChanges = recentChanges;
    if (mayCreate !== undefined) state.mayCreate = mayCreate;
    if (!complete) continue;
    yield { ...state, groups: [...groups.values()].sort((a, b) => (a.deviceGroup < b.deviceGroup ? -1 : 1)) };
  }
}

function mutable(request: OverviewRequest): { deviceGroups: string[]; members: boolean } {
  return { ...request, deviceGroups: [...request.deviceGroups] };
}

// --- a change on its way to the devices

/** A stream stays open when all devices are done: the page shows what they do then, too. */
const FOLLOWED_MS = 3_600_000;

/** As it is now, by a stream that ends at once. */
async function readApply(transport: Transport, request: ApplyRequest, signal: AbortSignal): Promise<WatchApplyResponse> {
  const messages = createClient(ApplyService, transport).watchApply({ targets: [applyTarget(request)], settleMs: 0, timeoutMs: 0 }, { signal });
  let newest: WatchApplyResponse | undefined;
  for await (const message of foldApply(messages)) newest = message;
  if (newest === undefined) throw new ConnectError("the stream ended without a number", Code.Unavailable);
  return newest;
}

/**
 * Makes each message name all devices that failed, in place of those that changed. Where some of them may have recovered, `moreChanged` has those of the last
 * message that named not all; else it is empty.
 */
export async function* foldApply(messages: AsyncIterable<WatchApplyResponse>): AsyncGenerator<WatchApplyResponse, void> {
  const failed = new FailedDevices();
  let moreChanged: ApplyCodeCount[] = [];
  for await (const message of messages) {
    failed.take(message);
    if (message.moreChanged.length > 0) moreChanged = message.moreChanged;
    yield { ...message, changed: [...failed.devices], moreChanged: failed.isOlder ? moreChanged : [] };
  }
}

function applyTarget(request: ApplyRequest): ApplyTarget {
  return fromBinary(ApplyTargetSchema, base64Decode(request));
}

import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { printableLine } from "../../../../common/printable.ts";
import { formatAge } from "../../../../common/text/age.ts";
import type { Change } from "../../../../gen/nebula/v1/change_pb.ts";
import { formatCount } from "./format.ts";
import { usePage } from "./page-context.ts";

/** The title of a view of one entity: its name, below its kind. */
export function ViewTitle({ kind, name }: Readonly<{ kind: string; name: string }>) {
  return (
    <>
      <p class="kind-of-view">{kind}</p>
      <h1 tabIndex={-1} class="view-name">
        {printableLine(name)}
      </h1>
    </>
  );
}

/** A number of the server; with `to`, a link to what it counts. */
export function Count({
  value,
  to,
  of,
}: Readonly<{ value: bigint; to?: string | undefined /** The counted things, for a screen reader. */; of?: string }>) {
  const text = formatCount(value);
  if (to === undefined) return <span class="number">{text}</span>;
  return (
    <a class="number" href={to} aria-label={of === undefined ? undefined : `${text} ${of}`}>
      {text}
    </a>
  );
}

/** How many rows a list has; of one that was not read to its end, how many were read so far. @param one the name of a row */
export function ListedCount({ count, hasMore, one, many = `${one}s` }: Readonly<{ count: number; hasMore: boolean; one: string; many?: string }>) {
  return (
    <p class="faint" role="status">
      {formatCount(count)} {hasMore ? `${many} so far` : count === 1 ? one : many}
    </p>
  );
}

/** The name of an entity, as the link to its page. */
export function NameLink({ name, to }: Readonly<{ name: string; to: string }>) {
  return (
    <a class="name" href={to}>
      <bdi>{name}</bdi>
    </a>
  );
}

/** In place of a number of devices that the server had no room to count. */
export function NotCounted() {
  return <span class="faint">not counted</span>;
}

/** How long ago something was. The exact time is its title. */
export function Age({ of, suffix = " ago" }: Readonly<{ of: Timestamp | number | undefined; suffix?: string }>) {
  const { now } = usePage();
  if (of === undefined || of === 0) return <span class="faint">never</span>;
  const ms = typeof of === "number" ? of : timestampMs(of);
  return (
    <time dateTime={new Date(ms).toISOString()} title={exactTime(ms)} class="number">
      {formatAge(now.value - ms)}
      {suffix}
    </time>
  );
}

/** The time that is left until then, milliseconds since 1970. The exact time is its title. */
export function Left({ until }: Readonly<{ until: number | undefined }>) {
  const { now } = usePage();
  if (until === undefined) return null;
  return (
    <time dateTime={new Date(until).toISOString()} title={exactTime(until)} class="number">
      {formatAge(until - now.value)}
    </time>
  );
}

/** The revision of an entity, and when and by whom it was changed last. */
export function LastChange({ revision = 0n, change }: Readonly<{ revision: bigint | undefined; change: Change | undefined }>) {
  return (
    <>
      {formatCount(revision)}, changed <Age of={change?.at} /> by {printableLine(change?.by ?? "")}
    </>
  );
}

const EXACT = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

/** The local time, to the second, with its zone. */
export function exactTime(ms: number): string {
  return EXACT.format(ms);
}

/** A state in a word, with its colour. */
export function StateWord({ state, word = state }: Readonly<{ state: string; word?: string }>) {
  return (
    <span class={`state state-${state}`}>
      <svg class="dot" width="8" height="8" viewBox="0 0 8 8" aria-hidden="true">
        <circle class={`fill-${state}`} cx="4" cy="4" r="4" />
      </svg>
      {word}
    </span>
  );
}

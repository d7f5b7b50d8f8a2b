import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Loaded } from "../data/loaded.ts";
import type { ListState, Range } from "../data/paged-list.ts";
import { rowsInView } from "./rows-in-view.ts";
import { ListedCount } from "./values.tsx";
import { ViewState } from "./view-state.tsx";

/** Of each row, pixels; style.css has the same. */
const ROW_HEIGHT = 40;

export type Column<Row> = Readonly<{
  key: string;
  head: string;
  /** Whether the head is for screen readers alone: the cells say it to the eye. */
  isHeadHidden?: boolean;
  cell: (row: Row) => ComponentChildren;
  /** Numbers end in line. */
  isNumber?: boolean;
  /** Left out on windows that are narrower. */
  from?: "medium" | "wide";
  /** The order that its head chooses; absent: its head chooses none. */
  order?: string;
}>;

/** In which order the rows are, and what a choice of an order in a head does. */
export type Sorting = Readonly<{ by: string | undefined; isDescending: boolean; choose: (order: string) => void }>;

type Props<Row> = Readonly<{
  /** The name of the table, for a screen reader. */
  label: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  keyOf: (row: Row) => string;
  /** Whether there are rows that were not read yet. */
  hasMore?: boolean;
  /** The rows that are in view now, where only those are read. */
  onView?: (range: Range) => void;
  sorting?: Sorting;
}>;

/** A table of any length: only the rows in view are drawn. The arrow keys, Home and End move among its rows. */
export function Table<Row>({ label, columns, rows, keyOf, hasMore = false, onView, sorting }: Props<Row>) {
  const body = useRef<HTMLTableSectionElement>(null);
  const [range, setRange] = useState<Range>({ first: 0, last: 30 });
  const [focused, setFocused] = useState<Readonly<{ row: number }> | undefined>(undefined);

  const measure = () => {
    if (body.current === null) return;
    const next = rowsInView({
      above: -body.current.getBoundingClientRect().top,
      windowHeight: innerHeight,
      rowHeight: ROW_HEIGHT,
      count: rows.length + (hasMore ? 1000 : 0),
    });
    setRange((now) => (now.first === next.first && now.last === next.last ? now : next));
  };
  useLayoutEffect(measure, [rows.length, hasMore]);
  useEffect(() => {
    let asked = 0;
    const later = () => {
      cancelAnimationFrame(asked);
      asked = requestAnimationFrame(measure);
    };
    addEventListener("scroll", later, { passive: true });
    addEventListener("resize", later);
    const moved = new ResizeObserver(later); // what stands above the table came, or went
    moved.observe(document.body);
    return () => {
      moved.disconnect();
      cancelAnimationFrame(asked);
      removeEventListener("scroll", later);
      removeEventListener("resize", later);
    };
  }, [rows.length, hasMore]);
  useEffect(() => onView?.(range), [range.first, range.last]);
  useLayoutEffect(() => {
    if (focused === undefined) return;
    const row = body.current?.querySelector(`[aria-rowindex="${focused.row + 2}"]`);
    const target = row?.querySelector("a, button") ?? row;
    if (target instanceof HTMLElement) target.focus();
  }, [focused]);

  const onKeyDown = (event: KeyboardEvent) => {
    const row = event.target instanceof Element ? event.target.closest("tr[aria-rowindex]") : null;
    if (row === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const index = Number(row.getAttribute("aria-rowindex")) - 2;
    const page = Math.max(1, Math.floor(innerHeight / ROW_HEIGHT) - 3);
    const moves: Readonly<Record<string, number>> = {
      ArrowDown: index + 1,
      ArrowUp: index - 1,
      PageDown: index + page,
      PageUp: index - page,
      Home: 0,
      End: rows.length - 1,
    };
    const to = moves[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = Math.min(rows.length - 1, Math.max(0, to));
    const top = (body.current?.getBoundingClientRect().top ?? 0) + next * ROW_HEIGHT;
    if (top < 80 || top > innerHeight - 2 * ROW_HEIGHT) scrollBy(0, top - innerHeight / 2);
    measure();
    setFocused({ row: next });
  };

  const shown = rows.slice(range.first, range.last);
  const classOf = ({ isNumber, from }: Column<Row>) => [isNumber ? "cell-number" : "", from === undefined ? "" : `from-${from}`].join(" ").trim();
  return (
    <div class="table-frame">
      <table class="table" aria-label={label} aria-rowcount={hasMore ? -1 : rows.length + 1}>
        <thead>
          <tr aria-rowindex={1}>
            {columns.map((column) => (
              <Head key={column.key} column={column} of={classOf(column)} sorting={sorting} />
            ))}
          </tr>
        </thead>
        <tbody ref={body} onKeyDown={onKeyDown}>
          <Gap rows={range.first} columns={columns.length} />
          {shown.map((row, index) => (
            <tr key={keyOf(row)} aria-rowindex={range.first + index + 2} tabIndex={-1}>
              {columns.map((column) => (
                <td key={column.key} class={classOf(column)}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
          <Gap rows={Math.max(0, rows.length - range.first - shown.length)} columns={columns.length} />
        </tbody>
      </table>
      {hasMore && (
        <p class="table-more" role="status">
          Scroll for more
        </p>
      )}
    </div>
  );
}

function Head<Row>({ column, of, sorting }: Readonly<{ column: Column<Row>; of: string; sorting: Sorting | undefined }>) {
  const { order } = column;
  const head = column.isHeadHidden === true ? <span class="visually-hidden">{column.head}</span> : column.head;
  if (sorting === undefined || order === undefined) {
    return (
      <th scope="col" class={of}>
        {head}
      </th>
    );
  }
  const sorted = sorting.by !== order ? undefined : sorting.isDescending ? "descending" : "ascending";
  return (
    <th scope="col" class={of} {...(sorted !== undefined && { "aria-sort": sorted })}>
      <button type="button" class="sort" onClick={() => sorting.choose(order)}>
        {head}
        <svg class={`sort-mark ${sorted ?? ""}`} width="8" height="12" viewBox="0 0 8 12" aria-hidden="true">
          <path class="sort-up" d="M4 1 7 5H1z" />
          <path class="sort-down" d="M4 11 1 7h6z" />
        </svg>
      </button>
    </th>
  );
}

/** The room of rows that are not drawn. */
function Gap({ rows, columns }: Readonly<{ rows: number; columns: number }>) {
  if (rows === 0) return null;
  return (
    <tr class="table-gap">
      <td colSpan={columns}>
        <svg width="1" height={rows * ROW_HEIGHT} aria-hidden="true" />
      </td>
    </tr>
  );
}

type ListTableProps<Row> = Pick<Props<Row>, "label" | "columns" | "keyOf"> &
  Readonly<{
    /** The list as usePages reads it. */
    list: Readonly<{ state: Loaded<ListState<Row>>; onView: (range: Range) => void }>;
    /** The name of a row, and of several. */
    one: string;
    many?: string;
    /** The content if there are no rows. */
    none: ComponentChildren;
  }>;

/** A list that is read page by page: how many rows it has, and their table. */
export function ListTable<Row>({ list: { state, onView }, one, many = `${one}s`, none, ...table }: ListTableProps<Row>) {
  return (
    <ViewState of={state} empty={({ items, hasMore }) => (items.length === 0 && !hasMore ? none : undefined)}>
      {({ items, hasMore }) => (
        <>
          <ListedCount count={items.length} hasMore={hasMore} one={one} many={many} />
          <Table {...table} rows={items} hasMore={hasMore} onView={onView} />
        </>
      )}
    </ViewState>
  );
}

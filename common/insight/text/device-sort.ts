/** The order of a list of devices as a word: `reported`, or `reported:desc` for the other way round. */
import { DeviceOrder, DeviceOrderSchema } from "../../../gen/nebula/v1/device_pb.ts";
import { enumValue, enumWords } from "../../text/enum-words.ts";

export const DESCENDING = ":desc";

const ORDERS = enumWords(DeviceOrderSchema);
export const ORDER_WORDS: readonly string[] = [...ORDERS.keys()];

/** Each order, and the other way round. */
export const SORT_WORDS: readonly string[] = ORDER_WORDS.flatMap((word) => [word, `${word}${DESCENDING}`]);

/** The order of a sort, by its word, and whether it is the other way round. */
export function sortedBy(sort: string | undefined): Readonly<{ by: string; isDescending: boolean }> | undefined {
  if (sort === undefined) return undefined;
  const isDescending = sort.endsWith(DESCENDING);
  return { by: isDescending ? sort.slice(0, -DESCENDING.length) : sort, isDescending };
}

/** The order as a request has it; unspecified without a sort. */
export function deviceOrderOf(sort: string | undefined): Readonly<{ order: DeviceOrder; descending: boolean }> {
  const { by, isDescending = false } = sortedBy(sort) ?? {};
  return { order: enumValue(DeviceOrder, ORDERS, by) ?? DeviceOrder.UNSPECIFIED, descending: isDescending };
}

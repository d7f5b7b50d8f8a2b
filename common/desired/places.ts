/** The containers of an app by their place: index 1 to `count`. `surplus`: those without a place. */
export type Places<C> = Readonly<{ at: (index: number) => readonly C[]; surplus: readonly C[] }>;

/** Sorts the containers of an app into the places of its desired containers. A container whose index is not known has no place. */
export function placesOf<C extends Readonly<{ index: number | undefined }>>(count: number, containers: readonly C[]): Places<C> {
  const byIndex = new Map<number, C[]>();
  const surplus: C[] = [];
  for (const container of containers) {
    const { index = 0 } = container;
    if (index < 1 || index > count) surplus.push(container);
    else byIndex.set(index, [...(byIndex.get(index) ?? []), container]);
  }
  return { at: (index) => byIndex.get(index) ?? [], surplus };
}

/**
 * How far the replacement in a place is: `settled`, the wanted container is up; `exchanging`, it is made and not up; `wanted`, there is none of the wanted spec.
 * @param right the containers of the wanted spec, the one to keep first
 */
export function progressOf<C>(right: readonly C[], isUp: (container: C) => boolean): "settled" | "exchanging" | "wanted" {
  const [first] = right;
  if (first === undefined) return "wanted";
  return isUp(first) ? "settled" : "exchanging";
}

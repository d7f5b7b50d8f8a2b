/** The value below which a share `q` (0 to 1) of the values lies, by nearest rank; NaN of none. */
export function quantile(values: ArrayLike<number>, q: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted.length === 0 ? Number.NaN : (sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1))] ?? Number.NaN);
}

export function median(values: ArrayLike<number>): number {
  return quantile(values, 0.5);
}

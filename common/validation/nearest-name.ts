/** The known name that somebody most likely meant; undefined when none is close. Case, '-' and '_' count for nothing. */
export function nearestName(given: string, known: Iterable<string>): string | undefined {
  const wanted = plain(given);
  let best: { name: string; distance: number } | undefined;
  for (const name of known) {
    const distance = editDistance(wanted, plain(name));
    if (distance < (best?.distance ?? Number.POSITIVE_INFINITY)) best = { name, distance };
  }
  if (best === undefined || best.distance > Math.max(1, Math.floor(wanted.length / 3))) return undefined;
  return best.name;
}

function plain(text: string): string {
  return text.slice(0, 64).toLowerCase().replaceAll(/[-_]/g, "");
}

/** Levenshtein's distance, by rows (Wagner and Fischer 1974). */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}

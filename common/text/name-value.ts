/** Splits `NAME=value` at the first `=`: the rest, further `=` included, is the value; "" if there is no `=`. */
export function splitNameValue(line: string): readonly [name: string, value: string] {
  const equals = line.indexOf("=");
  return equals < 0 ? [line, ""] : [line.slice(0, equals), line.slice(equals + 1)];
}

/** What a parser makes of the text of a setting. `problem` goes on from the value: `is no duration: give ...`. */
export type Parsed<T> = Readonly<{ kind: "value"; value: T } | { kind: "wrong"; problem: string }>;

export type Parser<T> = (text: string) => Parsed<T>;

export function value<T>(parsed: T): Parsed<T> {
  return { kind: "value", value: parsed };
}

export function wrong(problem: string): Parsed<never> {
  return { kind: "wrong", problem };
}

/** A parser whose value is undefined where nothing is given. */
export function orUndefined<T>(parse: Parser<T>): Parser<T | undefined> {
  return parse;
}

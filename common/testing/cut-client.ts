import { NebulaError } from "../errors/nebula-error.ts";
import type { StoreClient } from "../storage/cassandra/connection/client.ts";

export type CutClient = StoreClient & { /** Whether a statement failed. */ struck(): boolean };

/**
 * The client of a process that ends after a number of statements: those are carried out, one after another, and every later one fails.
 * @param answered whether the last one that is carried out is answered
 */
export function cutClient(client: StoreClient, statements: number, answered: boolean): CutClient {
  let left = statements;
  let struck = false;

  function fail(): never {
    struck = true;
    throw new NebulaError("unavailable", "the store does not answer");
  }

  /** Carries out a statement, if it is one of those; answers whether its answer arrives. */
  async function cut<T>(work: () => Promise<T>, unanswered: () => T): Promise<T> {
    if (left === 0) fail();
    left--;
    const answer = await work();
    if (left > 0 || answered) return answer;
    struck = true;
    return unanswered();
  }

  const self: CutClient = {
    struck: () => struck,
    execute: (query, options) => cut(() => client.execute(query, options), fail),
    async executeMany(cql, values, options) {
      const answers = [];
      for (const params of values) answers.push((await self.execute({ cql, params }, options)).rows);
      return answers;
    },
    conditional: (table, queries, signal) =>
      cut(
        () => client.conditional(table, queries, signal),
        () => ({ kind: "unknown" }),
      ),
    settled: (table, as) => client.settled(table, as),
    define: (statement) => cut(() => client.define(statement), fail),
  };
  return self;
}

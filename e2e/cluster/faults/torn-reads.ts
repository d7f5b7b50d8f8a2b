import { Client, type QueryOptions, types } from "cassandra-driver";

/**
 * A double of the driver, for a process that loads this file before its program. While a conditional write hangs, a read may find `head` newer than `state`: here
 * each read of an entity does, once this process has read an older state of it, unless the read is serial. Says on standard error how many did.
 */

/** The statement that has to notice, in entity-rows.ts: it reads both cells. */
const READS_STATE = /^SELECT DISTINCT kind, name, head, state FROM entity /;
const { serial, localSerial } = types.consistencies;

/** Of an entity, what was read last, and the state before that. */
const seen = new Map<string, Readonly<{ head: unknown; state: unknown; before: unknown }>>();
const execute = Client.prototype.execute;
let torn = 0;

Object.assign(Client.prototype, {
  async execute(this: Client, query: string, params: unknown[], options?: QueryOptions): Promise<types.ResultSet> {
    const result: types.ResultSet = await Reflect.apply(execute, this, [query, params, options]);
    const row = READS_STATE.test(query) ? result.rows[0] : undefined;
    if (row === undefined || row.head === null) return result;
    const entity = JSON.stringify(params);
    const last = seen.get(entity);
    const { head, state } = row;
    const before = last === undefined || head === last.head ? last?.before : last.state;
    seen.set(entity, { head, state, before });
    if (before === undefined || options?.consistency === serial || options?.consistency === localSerial) return result;
    row.state = before;
    process.stderr.write(`torn reads: ${++torn}\n`);
    return result;
  },
});

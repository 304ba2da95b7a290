/** Two hundred functions in one process: each has its own pool and its own invocation, and all are invoked at once. */
import { type PgPool, withPool } from 'thawpool';

interface Context {
  readonly awsRequestId: string;
  getRemainingTimeInMillis(): number;
}

/** What they are asked for. */
interface ManyEvent {
  readonly functions: number;
  readonly round: number;
}

type OneFunction = (event: ManyEvent, context: Context) => Promise<number>;

/** What came of it. */
export interface ManyResult {
  readonly answered: number;
  /** What the others failed with, each once. */
  readonly failures: readonly string[];
}

const functions = new Map<number, OneFunction>();

/** A function as an order service has them: a transaction of two statements, and a query. */
function functionOf(name: number): OneFunction {
  const known = functions.get(name);
  if (known) return known;
  const made = withPool(
    async ({ round }: ManyEvent, { db }: Context & { db: PgPool }) => {
      await db.transaction(async (tx) => {
        await tx.query('insert into visits (function, round) values ($1, $2)', [name, round]);
        await tx.query('select pg_sleep(0.002)');
      });
      const { rows } = await db.query<{ n: number }>('select count(*)::int as n from visits where function = $1', [
        name,
      ]);
      return rows[0]?.n ?? 0;
    },
    { name: `function-${name}` },
  );
  functions.set(name, made);
  return made;
}

export const handler = async (event: ManyEvent, context: Context): Promise<ManyResult> => {
  const invoke = (_: unknown, name: number) =>
    functionOf(name)(event, {
      awsRequestId: `${context.awsRequestId}-${name}`,
      getRemainingTimeInMillis: () => context.getRemainingTimeInMillis(),
    });
  const results = await Promise.allSettled(Array.from({ length: event.functions }, invoke));
  const failed = results.flatMap((result) => (result.status === 'rejected' ? [String(result.reason)] : []));
  // Each sees all that it has written, in this round and those before.
  const seen = results.filter((result) => result.status === 'fulfilled' && result.value === event.round);
  return { answered: seen.length, failures: [...new Set(failed)] };
};

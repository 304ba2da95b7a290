/** What the sections share: how long they may take, where they report, and one server for all. */
import { startPostgres, type TestPostgres } from '../test/support/postgres.ts';
import { pinServer } from './cores.ts';
import { type Measured, measure, type Spec } from './measure.ts';
import type { Case, Figure } from './model.ts';

/** A section of the benchmark. */
export interface Section {
  readonly name: string;
  readonly title: string;
  run(context: Context): Promise<{ readonly cases: readonly Case[]; readonly figures: readonly Figure[] }>;
}

/** What a section is handed. */
export interface Context {
  readonly quick: boolean;
  /** Says what is being done. */
  readonly say: (text: string) => void;
  /** Measures and says how far it has come. */
  measure(spec: Spec, rounds: number): Promise<Measured>;
  /** The server that all sections share, with a table of orders. Started when it is first asked for. */
  postgres(): Promise<TestPostgres>;
}

/** How many orders there are, with ids from 1. */
export const ORDERS = 1000;

/** Makes what the subjects query. */
async function makeOrders(postgres: TestPostgres): Promise<void> {
  await postgres.admin(
    'create table if not exists bench_orders (id int primary key, customer text, total numeric, made timestamptz)',
  );
  await postgres.admin('truncate bench_orders');
  await postgres.admin(
    `insert into bench_orders select n, 'customer ' || n, n * 1.25, now() from generate_series(1, ${ORDERS}) as n`,
  );
  await postgres.admin('grant select on bench_orders to public');
  await postgres.admin('analyze bench_orders');
}

/** Returns a context; `await using` ends what it has started. */
export function openContext(quick: boolean, say: (text: string) => void): Context & AsyncDisposable {
  let server: Promise<TestPostgres> | undefined;
  const start = async (): Promise<TestPostgres> => {
    say('starting PostgreSQL');
    const postgres = await startPostgres();
    await makeOrders(postgres);
    await pinServer(postgres);
    return postgres;
  };
  return {
    quick,
    say,
    measure: (spec, rounds) => {
      say(spec.title);
      return measure(spec, rounds, (round) => say(`${spec.title}: ${round} of ${rounds}`));
    },
    postgres: () => (server ??= start()),
    async [Symbol.asyncDispose]() {
      await (await server)?.close();
    },
  };
}

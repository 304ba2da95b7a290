/** Reads through `db.reader`, writes through `db`, or does it the wrong way round, as it is told. */
import { type PgPool, withPool } from 'thawpool';

/** What to run, and through what. */
interface ReaderEvent {
  readonly on: 'reader' | 'writer';
  /** @default asks which server answers */
  readonly sql?: string;
  /** How often at once. @default 1 */
  readonly n?: number;
  /** Borrows one more connection and never gives it back. */
  readonly keep?: boolean;
}

/** Whether the server that answers is a standby. */
const WHO = 'select pg_is_in_recovery() as standby';

export const handler = withPool(async ({ on, sql = WHO, n = 1, keep }: ReaderEvent, { db }: { db: PgPool }) => {
  const pool = on === 'reader' ? db.reader : db;
  if (keep) await pool.connect();
  else {
    const results = await Promise.all(Array.from({ length: n }, () => pool.query<Record<string, unknown>>(sql)));
    return { rows: results.flatMap(({ rows }) => rows), total: db.reader.stats().total };
  }
  return { rows: [], total: db.reader.stats().total };
});

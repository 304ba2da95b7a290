/** A plain pg.Pool as a subject's database. */
import type { Pool } from 'pg';
import { type SubjectDatabase, transaction } from './protocol.ts';

/** Lends a pg.Pool to the scenarios, with the transaction helper of its documentation. */
export function plainPool(pool: Pool): SubjectDatabase {
  return {
    query: (sql, params) => pool.query(sql, params),
    connect: () => pool.connect(),
    async transaction(work) {
      const client = await pool.connect();
      try {
        return await transaction(client, work);
      } finally {
        client.release();
      }
    },
  };
}

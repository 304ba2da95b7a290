import { PgBoss } from 'pg-boss';
import { getPool } from 'thawpool';
import { describeNotes } from '../../test/support/notes.ts';
import { send, work } from './handler.ts';

/** What a deployment does. */
async function prepare(): Promise<void> {
  const boss = new PgBoss({
    db: { executeSql: (text, values) => getPool().query(text, values) },
    supervise: false,
    schedule: false,
  });
  await boss.start();
  await boss.createQueue('told');
  await boss.stop();
}

describeNotes(prepare, { send, work });

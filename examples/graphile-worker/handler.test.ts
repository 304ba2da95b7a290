import { runMigrations } from 'graphile-worker';
import { getPool } from 'thawpool';
import { describeNotes } from '../../test/support/notes.ts';
import { send, work } from './handler.ts';

describeNotes(() => runMigrations({ pgPool: getPool() }), { send, work });

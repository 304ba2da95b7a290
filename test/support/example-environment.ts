/** Where the examples find their database: in `DATABASE_URL`, as the functions of those who read them do. */
import { inject } from 'vitest';

process.env['DATABASE_URL'] ??= inject('postgres').connectionString;

/**
 * Where the examples find their database: in `DATABASE_URL`, as the functions of those who read them do. Each file of
 * examples has one of its own.
 */
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, inject } from 'vitest';

const { connectionString } = inject('postgres');
const name = `e_${randomUUID().replaceAll('-', '')}`;
const admin = new pg.Client({ connectionString, application_name: 'test-admin' });

// Before the file itself is loaded, whose pool may look for its address at once.
await admin.connect();
await admin.query(`create database ${name}`);
process.env['DATABASE_URL'] = Object.assign(new URL(connectionString), { pathname: `/${name}` }).toString();

afterAll(async () => {
  await admin.query(`drop database ${name} with (force)`);
  await admin.end();
});

// The handlers that README.md begins with, copied out of it and run by Node as they stand.

import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { useDatabase } from './support.ts';

const root = join(import.meta.dirname, '../..');
const database = useDatabase();
/** A package that is this one to whoever looks it up by name. */
const folder = mkdtempSync(join(tmpdir(), 'readme-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const [, use = ''] = readFileSync(join(root, 'README.md'), 'utf8').split('\n## Use\n');
const handlers = [...(use.split('\n## ')[0] ?? '').matchAll(/^```ts\n(.*?)^```/gms)].map(([, code = '']) => code);

/** Invokes a handler twice and prints its answers. */
const invoke = `
const { handler } = await import(process.argv[2]);
const context = { awsRequestId: '1', getRemainingTimeInMillis: () => 60_000 };
const answers = [await handler({ id: 7 }, context), await handler({ id: 8 }, context)];
process.stdout.write(JSON.stringify(answers), () => process.exit());
`;

beforeAll(async () => {
  cpSync(join(root, 'package.json'), join(folder, 'package.json'));
  for (const name of ['src', 'node_modules']) symlinkSync(join(root, name), join(folder, name));
  writeFileSync(join(folder, 'invoke.ts'), invoke);
  await database.query('create table orders (id int primary key, item text, seen timestamptz)');
  await database.query(`insert into orders values (7, 'lamp'), (8, 'chair')`);
});

it.each(['with Middy', 'without Middy'])('has a handler %s that answers', async (title) => {
  const name = `${title.replaceAll(' ', '-')}.ts`;
  const middy = title === 'with Middy';
  const found = handlers.filter((code) => code.includes('@middy/core') === middy);
  expect(found).toHaveLength(1);
  writeFileSync(join(folder, name), found[0] ?? '');
  // Node.js 22 warns that it strips types.
  const args = ['--disable-warning=ExperimentalWarning', '--conditions=@thawpool/source', 'invoke.ts', `./${name}`];
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args, {
    cwd: folder,
    env: { PATH: process.env['PATH'], DATABASE_URL: database.connectionString },
  });
  const seen = middy ? null : expect.any(String);
  expect(JSON.parse(stdout)).toEqual([
    { id: 7, item: 'lamp', seen },
    { id: 8, item: 'chair', seen },
  ]);
  // Nothing to warn of: no leak, no option that is not known.
  expect(stderr).toBe('');
});

import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, test } from 'vitest';
import { generatePrismaClient } from '../../test/support/prisma-generate.ts';
import { describeShop } from '../../test/support/shop.ts';

// As `npx prisma generate` does; what comes out of it is no part of the sources.
await generatePrismaClient(join(import.meta.dirname, 'schema.prisma'));
afterAll(() => rm(join(import.meta.dirname, 'generated'), { recursive: true }));

const { handler } = await import('./handler.ts');
describeShop(handler);

test('is typed by the client that was generated', async () => {
  const compiler = join(createRequire(import.meta.url).resolve('typescript/package.json'), '../bin/tsc');
  const checked = promisify(execFile)(process.execPath, [compiler, '-p', '.'], { cwd: import.meta.dirname });
  const { stdout } = await checked.catch((error: { stdout: string }) => error);
  expect(stdout.split('\n').filter((line) => /^(handler|generated)/.test(line))).toEqual([]);
});

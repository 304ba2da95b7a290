/** Generates a Prisma client, offline. */
import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';

const { resolve } = createRequire(import.meta.url);

/** Runs `prisma generate` for a schema. */
export async function generatePrismaClient(schema: string): Promise<void> {
  await promisify(execFile)(process.execPath, [resolve('prisma/build/index.js'), 'generate', '--schema', schema], {
    // Generating needs no engine, but one is downloaded unless there is one; whatever can be executed will do.
    env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, CHECKPOINT_DISABLE: '1' },
  });
}

import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { PrismaPg } from '@prisma/adapter-pg';
import { afterAll } from 'vitest';
import { describeLibrary, type Notes } from './contract.ts';

/** What is used here of a generated client. */
interface Client {
  readonly note: {
    create(args: { data: { name: string } }): Promise<unknown>;
    findMany(args: { orderBy: { name: 'asc' } }): Promise<{ name: string }[]>;
  };
  $transaction<R>(work: (tx: Client) => Promise<R>): Promise<R>;
  $disconnect(): Promise<void>;
}

const schema = `
generator client {
  provider            = "prisma-client"
  output              = "./client"
  runtime             = "nodejs"
  moduleFormat        = "esm"
  importFileExtension = "ts"
}

datasource db {
  provider = "postgresql"
}

model Note {
  id   Int    @id @default(autoincrement())
  name String @unique

  @@map("notes")
}
`;

// Below the project, so that what is generated finds its packages; not in test/, where tsc would look at it.
const root = join(import.meta.dirname, '../../../reports');
await mkdir(root, { recursive: true });
const folder = await mkdtemp(join(root, 'prisma-'));
afterAll(() => rm(folder, { recursive: true }));
await writeFile(join(folder, 'schema.prisma'), schema);
await promisify(execFile)(
  process.execPath,
  [join(import.meta.dirname, '../../../node_modules/prisma/build/index.js'), 'generate', '--schema', join(folder, 'schema.prisma')],
  // Generating needs no engine, and would download one all the same; whatever can be executed will do.
  { env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, CHECKPOINT_DISABLE: '1' } },
);
const { PrismaClient } = (await import(pathToFileURL(join(folder, 'client/client.ts')).href)) as {
  PrismaClient: new (options: object) => Client;
};

const sqlState = (error: unknown): unknown => 
  (error as { meta?: { driverAdapterError?: { cause?: { originalCode?: unknown } } } }).meta?.driverAdapterError?.cause?.originalCode;

function notesOf(db: Client): Notes {
  return {
    add: (name) => db.note.create({ data: { name } }),
    names: async () => (await db.note.findMany({ orderBy: { name: 'asc' } })).map(({ name }) => name),
  };
}

const { database, open } = describeLibrary('Prisma', { endsPool: false, sqlState }, (pool) => {
  const db = new PrismaClient({ adapter: new PrismaPg(pool) });
  return {
    db,
    ...notesOf(db),
    transaction: (work) => db.$transaction((tx) => work(notesOf(tx))),
    close: () => db.$disconnect(),
  };
});

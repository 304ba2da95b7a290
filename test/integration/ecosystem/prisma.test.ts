import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { PrismaPg } from '@prisma/adapter-pg';
import { afterAll, describe, expect, it } from 'vitest';
import { generatePrismaClient } from '../../support/prisma-generate.ts';
import { failure } from '../support.ts';
import { describeLibrary, type Notes } from './contract.ts';

interface NoteArgs {
  readonly data: { readonly name: string };
}

/** What is used here of a generated client. */
interface Client {
  readonly note: {
    create(args: NoteArgs): Promise<unknown>;
    findMany(args: { readonly orderBy: { readonly name: 'asc' } }): Promise<{ name: string }[]>;
  };
  $transaction<R>(work: (tx: Client) => Promise<R>, options?: object): Promise<R>;
  $transaction(works: readonly Promise<unknown>[]): Promise<unknown[]>;
  $queryRaw(text: TemplateStringsArray, ...values: readonly unknown[]): Promise<unknown>;
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

// In the project, so that what is generated finds its packages; and where nobody looks at it.
const reports = join(import.meta.dirname, '../../../reports');
await mkdir(reports, { recursive: true });
const folder = await mkdtemp(join(reports, 'prisma-'));
afterAll(() => rm(folder, { recursive: true }));
await writeFile(join(folder, 'schema.prisma'), schema);
await generatePrismaClient(join(folder, 'schema.prisma'));
const { PrismaClient } = (await import(pathToFileURL(join(folder, 'client/client.ts')).href)) as {
  readonly PrismaClient: new (options: { adapter: PrismaPg }) => Client;
};

interface PrismaError {
  readonly meta?: { readonly driverAdapterError?: { readonly cause?: { readonly originalCode?: unknown } } };
}

const sqlState = (error: unknown): unknown => (error as PrismaError).meta?.driverAdapterError?.cause?.originalCode;

function notesOf(db: Client): Notes {
  return {
    add: (name) => db.note.create({ data: { name } }),
    names: async () => (await db.note.findMany({ orderBy: { name: 'asc' } })).map(({ name }) => name),
  };
}

const { open } = describeLibrary('Prisma', { endsPool: false, sqlState }, (pool) => {
  const db = new PrismaClient({ adapter: new PrismaPg(pool) });
  return {
    db,
    ...notesOf(db),
    transaction: (work) => db.$transaction((tx) => work(notesOf(tx))),
    close: () => db.$disconnect(),
  };
});

describe('what only Prisma does', () => {
  it('runs a batch as one transaction', async () => {
    const { pool, library } = await open();
    const { note } = library.db;
    const batch = library.db.$transaction([note.create({ data: { name: 'a' } }), note.create({ data: { name: 'a' } })]);
    expect(await failure(batch)).toMatchObject({ code: 'P2002' });
    expect(await library.names()).toEqual([]);
    expect(pool.stats()).toMatchObject({ created: 1, leased: 0 });
  });

  it('sets the isolation level for its transaction only', async () => {
    const { library } = await open();
    const level = (db: Client): Promise<unknown> => db.$queryRaw`show transaction_isolation`;
    const inside = await library.db.$transaction(level, { isolationLevel: 'Serializable' });
    expect(inside).toEqual([{ transaction_isolation: 'serializable' }]);
    expect(await level(library.db)).toEqual([{ transaction_isolation: 'read committed' }]);
  });

  it('gives up a transaction that takes too long, and its connection goes on', async () => {
    const { pool, library } = await open();
    const slow = library.db.$transaction(
      async (tx) => {
        await notesOf(tx).add('late');
        await tx.$queryRaw`select pg_sleep(0.2)::text`;
        await notesOf(tx).add('later');
      },
      { timeout: 50 },
    );
    expect(await failure(slow)).toMatchObject({ code: 'P2028' });
    expect(await library.names()).toEqual([]);
    await expect.poll(() => pool.stats().leased).toBe(0);
  });
});

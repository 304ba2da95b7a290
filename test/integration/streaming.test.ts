// Response streaming: Middy runs `after` before the body is read, and a body may read rows from a connection.

import { once } from 'node:events';
import { PassThrough, Readable, Writable } from 'node:stream';
import { ReadableStream } from 'node:stream/web';
import middy from '@middy/core';
import { executionModeStreamifyResponse } from '@middy/core/StreamifyResponse';
import type { Context } from 'aws-lambda';
import { type PgPool, withPool } from 'thawpool';
import { pgPool } from 'thawpool/middy';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeContext, onLambda } from './invocations.ts';
import { failure, until, useDatabase, usePools } from './support.ts';

const database = useDatabase();
const makePool = usePools(() => ({ connectionString: database.connectionString }));

type StreamingHandler = (event: unknown, responseStream: Writable, context: Context) => Promise<unknown>;

/** What the Node.js runtime puts on the global object, as Middy's own tests stand in for it. */
const awslambda = {
  streamifyResponse: (handler: unknown) => handler,
  HttpResponseStream: {
    from(stream: Writable, metadata: unknown): Writable {
      (stream as Sink).metadata = metadata;
      return stream;
    },
  },
};

beforeAll(() => void Object.assign(globalThis, { awslambda }));
afterAll(() => void Reflect.deleteProperty(globalThis, 'awslambda'));

/** Where a response goes. */
class Sink extends Writable {
  metadata: unknown;
  readonly chunks: string[] = [];

  override _write(chunk: Buffer, _encoding: string, callback: () => void): void {
    this.chunks.push(chunk.toString());
    callback();
  }

  get text(): string {
    return this.chunks.join('');
  }
}

type Make = (event: unknown, context: { db: PgPool }) => unknown;

function streaming(pool: PgPool, make: Make): StreamingHandler {
  return middy({ executionMode: executionModeStreamifyResponse })
    .use(pgPool({ pool }))
    .handler(make as never) as unknown as StreamingHandler;
}

async function respond(handler: StreamingHandler): Promise<Sink> {
  const sink = new Sink();
  await handler({}, sink, makeContext());
  return sink;
}

/** Rows one by one, each asked for when the one before has been read. */
async function* rows(db: PgPool, count: number, fail?: Error): AsyncGenerator<string> {
  await using lease = await db.acquire();
  for (let n = 1; n <= count; n += 1) {
    if (fail && n === count) throw fail;
    const answer = await lease.client.query<{ n: number }>('select $1::int as n', [n]);
    yield `${answer.rows[0]?.n},`;
  }
}

/** The same without giving the connection back. */
async function* leakyRows(db: PgPool, count: number): AsyncGenerator<string> {
  const client = await db.connect();
  for (let n = 1; n <= count; n += 1)
    yield String((await client.query<{ n: number }>('select $1::int as n', [n])).rows[0]?.n);
}

function webStream(source: AsyncGenerator<string>): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await source.next();
      if (done) controller.close();
      else controller.enqueue(encoder.encode(value));
    },
    async cancel() {
      await source.return(undefined);
    },
  });
}

const bodies: [name: string, make: (db: PgPool, source: AsyncGenerator<string>) => unknown][] = [
  ['a Node.js stream', (_, source) => Readable.from(source)],
  ['a Node.js stream behind HTTP metadata', (_, source) => ({ statusCode: 201, body: Readable.from(source) })],
  ['a web stream', (_, source) => webStream(source)],
  ['a web stream behind HTTP metadata', (_, source) => ({ statusCode: 201, body: webStream(source) })],
  [
    'a stream of another copy of the stream classes',
    (_, source) => {
      const inner = Readable.from(source);
      // Not of this module's class, and yet piped by Middy, which looks for `_readableState`.
      return new Proxy(inner, { getPrototypeOf: () => Object.prototype });
    },
  ],
];

describe.each(bodies)('a response that is %s', (_, make) => {
  it('reads from a connection after the middlewares have run, and gives it back at its end', async () => {
    const { pool, warnings } = makePool({ max: 2 });
    const handler = streaming(pool, (_event, { db }) => make(db, rows(db, 5)));
    const sink = await respond(handler);
    expect(sink.text).toBe('1,2,3,4,5,');
    await until(pool, () => pool.stats().leased === 0);
    expect(pool.stats()).toMatchObject({ idle: 1, created: 1, reclaimed: 0 });
    expect(warnings).toEqual([]);
    expect((await respond(handler)).text).toBe('1,2,3,4,5,');
  });

  it('has what it leaves behind taken back when it ends', async () => {
    const { pool, warnings } = makePool({ env: onLambda, maxIdle: 0 });
    const handler = streaming(pool, (_event, { db }) => make(db, leakyRows(db, 3)));
    expect((await respond(handler)).text).toBe('123');
    await until(pool, () => pool.stats().total === 0);
    expect(pool.stats()).toMatchObject({ reclaimed: 1, leased: 0 });
    expect(warnings).toHaveLength(1);
  });
});

describe.each(bodies.slice(0, 4))('a response that is %s and fails', (_, make) => {
  it('ends the invocation', async () => {
    const { pool } = makePool({ maxIdle: 0 });
    const error = new Error('of the body');
    const handler = streaming(pool, (_event, { db }) => make(db, rows(db, 3, error)));
    expect((await failure(respond(handler))).message).toBe('of the body');
    await until(pool, () => pool.stats().total === 0);
    expect(pool.stats()).toMatchObject({ leased: 0, destroyed: { surplus: 1 } });
  });

  it('ends the invocation when its reader goes away', async () => {
    const { pool } = makePool({ maxIdle: 0 });
    const handler = streaming(pool, (_event, { db }) => make(db, rows(db, 1000)));
    const sink = new Sink();
    const write = sink._write.bind(sink);
    sink._write = (chunk: Buffer, encoding, callback) => {
      if (sink.chunks.length === 3) sink.destroy(new Error('the reader went away'));
      else write(chunk, encoding, callback);
    };
    await failure(handler({}, sink, makeContext()));
    await until(pool, () => pool.stats().total === 0);
    expect(pool.stats().leased).toBe(0);
  });
});

describe('a streaming handler', () => {
  it('that answers with a string is over when it returns', async () => {
    const { pool } = makePool({ maxIdle: 0 });
    const handler = streaming(pool, async (_event, { db }) => {
      const { rows: answer } = await db.query('select 1 as one');
      return JSON.stringify(answer);
    });
    expect((await respond(handler)).text).toBe('[{"one":1}]');
    expect(pool.stats()).toMatchObject({ total: 0 });
  });

  it('that throws is over', async () => {
    const { pool } = makePool({ maxIdle: 0 });
    const handler = streaming(pool, async (_event, { db }) => {
      await db.query('select 1');
      throw new Error('of the handler');
    });
    expect((await failure(respond(handler))).message).toBe('of the handler');
    expect(pool.stats()).toMatchObject({ total: 0 });
  });

  it('whose answer another middleware refuses is over', async () => {
    const { pool } = makePool({ maxIdle: 0 });
    const body = new PassThrough();
    const handler = middy({ executionMode: executionModeStreamifyResponse })
      .after(() => {
        throw new Error('of the other middleware');
      })
      .use(pgPool({ pool }))
      .handler(async (_event, { db }) => {
        await db.query('select 1');
        return body as never;
      }) as unknown as StreamingHandler;
    expect((await failure(respond(handler))).message).toBe('of the other middleware');
    expect(pool.stats()).toMatchObject({ total: 0 });
  });

  it('without Middy writes while it holds its connection, and is over when it returns', async () => {
    const { pool } = makePool({ maxIdle: 0 });
    const handler = awslambda.streamifyResponse(
      withPool(
        async (_event: unknown, responseStream: Writable, { db }: Context & { db: PgPool }) => {
          for await (const row of rows(db, 3)) responseStream.write(row);
          responseStream.end();
          await once(responseStream, 'finish');
        },
        { pool },
      ),
    ) as StreamingHandler;
    expect((await respond(handler)).text).toBe('1,2,3,');
    expect(pool.stats()).toMatchObject({ total: 0, created: 1 });
  });
});

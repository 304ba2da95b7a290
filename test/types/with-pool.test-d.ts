// What the wrapper infers, and what it hands out.

import type { Writable } from 'node:stream';
import type { APIGatewayProxyEventV2, Context, Handler } from 'aws-lambda';
import { type PgPool, withPool } from 'thawpool';
import { describe, expectTypeOf, it } from 'vitest';

describe('withPool', () => {
  it('infers event, context and result: pins a handler of (any, any)', () => {
    const handler = withPool(async (event: { id: number }, { db }: Context & { db: PgPool }) => {
      expectTypeOf(db).toEqualTypeOf<PgPool>();
      return { found: event.id };
    });
    expectTypeOf(handler).parameter(0).toEqualTypeOf<{ id: number }>();
    expectTypeOf(handler).returns.resolves.toEqualTypeOf<{ found: number }>();
  });

  it('gives db without an annotation: pins a context that lost it', () => {
    withPool((_event: unknown, { db }) => {
      expectTypeOf(db).toEqualTypeOf<PgPool>();
    });
    withPool(
      (_event: unknown, { orders }) => {
        expectTypeOf(orders).toEqualTypeOf<PgPool>();
      },
      { contextKey: 'orders' },
    );
  });

  it('takes a handler that is not async, and makes it so: pins Promise<Promise<…>>', () => {
    expectTypeOf(withPool(() => 1)).returns.toEqualTypeOf<Promise<number>>();
    expectTypeOf(withPool(async () => 1)).returns.toEqualTypeOf<Promise<number>>();
  });

  it('can be what a Lambda handler has to be: pins a context that no runtime gives', () => {
    const handler = withPool(async (event: APIGatewayProxyEventV2, { db, awsRequestId }: Context & { db: PgPool }) => {
      expectTypeOf(awsRequestId).toBeString();
      return { statusCode: 200, body: `${event.rawPath} ${db.totalCount}` };
    });
    expectTypeOf(handler).toExtend<Handler<APIGatewayProxyEventV2, { statusCode: number; body: string }>>();
  });

  it('takes a streaming handler: pins the stream that was taken for the context', () => {
    const handler = withPool(async (_event: unknown, stream: Writable, { db }: Context & { db: PgPool }) => {
      stream.end(String(db.totalCount));
    });
    expectTypeOf(handler).parameter(1).toEqualTypeOf<Writable>();
  });

  it('refuses a wrong key: pins a key that was not checked', () => {
    withPool((_event: unknown, context) => {
      // @ts-expect-error -- without contextKey the pool is under "db"
      void context.orders;
    });
    // @ts-expect-error -- db is a pool, not a text
    withPool((_event: unknown, { db }: { db: string }) => db);
  });
});

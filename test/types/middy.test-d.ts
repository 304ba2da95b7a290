// What the middleware does to the types of a handler, without an annotation.

import middy from '@middy/core';
import type { APIGatewayProxyEventV2, APIGatewayProxyResultV2, Context, SQSEvent } from 'aws-lambda';
import type pg from 'pg';
import type { PgPool } from 'thawpool';
import defaultPgPool, { type PgPool as PgPoolOfMiddy, pgPool } from 'thawpool/middy';
import { describe, expectTypeOf, it } from 'vitest';

/** Another middleware that widens the context, as Middy's own do. */
const user: middy.MiddlewareObj<unknown, unknown, Error, Context & { user: { id: string } }> = {
  before: ({ context }) => {
    context.user = { id: '1' };
  },
};

describe('middy().use(pgPool())', () => {
  it('gives the handler db as a PgPool: pins a context that fell back to any or unknown', () => {
    middy()
      .use(pgPool())
      .handler(async (_event, { db }) => {
        expectTypeOf(db).toEqualTypeOf<PgPool>();
        expectTypeOf(db).not.toBeAny();
      });
  });

  it('keeps the rest of the context: pins a context that was replaced instead of widened', () => {
    middy()
      .use(pgPool())
      .handler((_event, context) => {
        expectTypeOf(context.awsRequestId).toBeString();
        expectTypeOf(context.getRemainingTimeInMillis()).toBeNumber();
      });
  });

  it('keeps the event’s and the result’s types: pins overloads that lost them', () => {
    const handler = middy<APIGatewayProxyEventV2, APIGatewayProxyResultV2>()
      .use(pgPool())
      .handler(async (event, { db }) => {
        expectTypeOf(event).toEqualTypeOf<APIGatewayProxyEventV2>();
        expectTypeOf(db).toEqualTypeOf<PgPool>();
        return { statusCode: 200, body: event.rawPath };
      });
    expectTypeOf(handler).parameter(0).toEqualTypeOf<APIGatewayProxyEventV2>();
  });

  it('goes together with other middlewares, before and after: pins a TContext that did not intersect', () => {
    middy<SQSEvent>()
      .use(user)
      .use(pgPool())
      .handler((event, { db, user: who }) => {
        expectTypeOf(event).toEqualTypeOf<SQSEvent>();
        expectTypeOf(db).toEqualTypeOf<PgPool>();
        expectTypeOf(who.id).toBeString();
      });
    middy<SQSEvent>()
      .use(pgPool())
      .use(user)
      .handler((_event, { db, user: who }) => {
        expectTypeOf(db).toEqualTypeOf<PgPool>();
        expectTypeOf(who.id).toBeString();
      });
  });

  it('takes a list of middlewares: pins a middleware that was no MiddlewareObj', () => {
    middy().use([pgPool()]);
    expectTypeOf(pgPool()).toExtend<middy.MiddlewareObj<unknown, unknown, Error, Context & { db: PgPool }>>();
  });

  it('has the pool under the key that was asked for, and under no other: pins a key that was widened to string', () => {
    middy()
      .use(pgPool({ contextKey: 'orders' }))
      .handler((_event, context) => {
        expectTypeOf(context.orders).toEqualTypeOf<PgPool>();
        // @ts-expect-error -- the pool is under "orders", not under the default key
        void context.db;
      });
  });

  it('has two pools under two keys: pins one key that displaced the other', () => {
    middy()
      .use(pgPool({ name: 'orders', contextKey: 'orders' }))
      .use(pgPool({ name: 'reports', contextKey: 'reports' }))
      .handler((_event, { orders, reports }) => {
        expectTypeOf(orders).toEqualTypeOf<PgPool>();
        expectTypeOf(reports).toEqualTypeOf<PgPool>();
      });
  });

  it('is the default export too, and brings its PgPool: pins two types of one name', () => {
    expectTypeOf(defaultPgPool).toEqualTypeOf(pgPool);
    expectTypeOf<PgPoolOfMiddy>().toEqualTypeOf<PgPool>();
  });

  it('gives a db that a pg.Pool is wanted for: pins a view that was less than a pool', () => {
    middy()
      .use(pgPool())
      .handler((_event, { db }) => {
        expectTypeOf(db).toExtend<pg.Pool>();
      });
  });

  it('refuses what it has no option for: pins options that took anything', () => {
    // @ts-expect-error -- max is a number
    pgPool({ max: '4' });
    // @ts-expect-error -- there is no such option
    pgPool({ maxidle: 1 });
    // @ts-expect-error -- the key of a context is a text
    pgPool({ contextKey: 1 });
    // @ts-expect-error -- the option pool takes a pool of ours, not any pg.Pool
    pgPool({ pool: {} as pg.Pool });
  });
});

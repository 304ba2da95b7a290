import { describe, expect, test } from 'vitest';
import { AcquireError, PoolError } from '../../../src/pool/errors.ts';
import { watch } from '../../support/deferred.ts';
import { errorOf, type Harness, harness } from './harness.ts';

const connections = (options: Parameters<typeof harness>[0] = {}): Harness =>
  harness({ noun: 'connection', acquireTimeoutMillis: 300, createTimeoutMillis: 10_000, ...options });

/** What an acquire that waits for all its time fails with. */
async function timeout({ pool, advance }: Harness, owner?: object): Promise<AcquireError> {
  const waiting = watch(pool.acquire({ owner }));
  await advance(300);
  expect(waiting.error).toBeInstanceOf(AcquireError);
  return waiting.error as AcquireError;
}

describe('a timeout says', () => {
  test('that every connection is leased', async () => {
    const all = connections({ max: 2 });
    await Promise.all([all.pool.acquire(), all.pool.acquire({ owner: {} })]);
    const others = [watch(all.pool.acquire({ timeoutMillis: 1000 }))];
    const error = await timeout(all, {});
    expect(error.message).toBe(
      'Timed out after 300 ms waiting for a connection (max 2, leased 2, waiting 1): every connection is leased. Release sooner, run fewer at once, or raise max. See ERR_POOL_ACQUIRE_TIMEOUT.',
    );
    expect(error).toBeInstanceOf(PoolError);
    expect(error).toMatchObject({
      name: 'AcquireError',
      code: 'ERR_POOL_ACQUIRE_TIMEOUT',
      phase: 'queued',
      timeline: [{ phase: 'queued', atMillis: 0 }],
      stats: { max: 2, leased: 2, waiting: 1, total: 2 },
    });
    expect(error.cause).toBeUndefined();
    expect(others[0]?.state).toBe('pending');
  });

  test('that this invocation holds the only one already', async () => {
    const all = connections({ max: 1 });
    const owner = {};
    await all.pool.acquire({ owner });
    expect((await timeout(all, owner)).message).toBe(
      'Timed out after 300 ms waiting for a connection (max 1, leased 1, waiting 0): this invocation already holds it, so waiting longer would not help. Release one before acquiring the next, use the one you have, or raise max. See ERR_POOL_ACQUIRE_TIMEOUT.',
    );
  });

  test('that this invocation holds all of them already', async () => {
    const all = connections({ max: 3 });
    const owner = {};
    await Promise.all([1, 2, 3].map(() => all.pool.acquire({ owner })));
    expect((await timeout(all, owner)).message).toContain('this invocation already holds all 3, so waiting longer');
  });

  test('where it was that they were acquired, if that is known', async () => {
    const all = connections({ max: 2 });
    const owner = {};
    const origin = new Error('acquired');
    origin.stack = ['Error: acquired', ...[1, 2, 3, 4].map((line) => `    at handler (file.ts:${line})`)].join('\n');
    await all.pool.acquire({ owner, origin });
    await all.pool.acquire({ owner, origin: 'warm()' });
    const error = await timeout(all, owner);
    expect(error.message.split('\n').slice(1)).toEqual([
      '  held since',
      '    at handler (file.ts:1)',
      '    at handler (file.ts:2)',
      '    at handler (file.ts:3)',
      '  held since warm()',
    ]);
    expect(error.holders).toEqual([origin, 'warm()']);
  });

  test('nothing of where others acquired theirs', async () => {
    const all = connections({ max: 1 });
    await all.pool.acquire({ owner: {}, origin: 'elsewhere' });
    const error = await timeout(all, {});
    expect(error.message).not.toContain('elsewhere');
    expect(error.holders).toEqual([]);
  });

  test('nothing of the invocation where it holds some of them only', async () => {
    const all = connections({ max: 2 });
    const owner = {};
    await all.pool.acquire({ owner });
    await all.pool.acquire();
    expect((await timeout(all, owner)).message).toContain('every connection is leased.');
  });

  test('how far a new one has come, what failed on the way, and when', async () => {
    const all = connections();
    all.factory.hold('create');
    const refused = new Error('ECONNREFUSED');
    const waiting = watch(all.pool.acquire());
    const context = all.factory.contexts.get(1);
    context?.phase('dns');
    await all.advance(20);
    context?.phase('tcp', refused);
    await all.advance(30);
    context?.phase('tcp');
    await all.advance(250);
    const error = waiting.error as AcquireError;
    expect(error.message).toBe(
      'Timed out after 300 ms waiting for a connection (max 4, leased 0, creating 1, waiting 0): a new connection was still being made, at "tcp". Check that the peer can be reached and answers, or raise the acquire timeout. See ERR_POOL_ACQUIRE_TIMEOUT.',
    );
    expect(error.phase).toBe('tcp');
    expect(error.timeline).toEqual([
      { phase: 'queued', atMillis: 0 },
      { phase: 'dns', atMillis: 0 },
      { phase: 'tcp', atMillis: 20, error: refused },
      { phase: 'tcp', atMillis: 50 },
    ]);
    expect(error.cause).toBe(refused);
  });

  test('where it was on its way to last', async () => {
    const all = connections();
    all.factory.hold('create');
    const waiting = watch(all.pool.acquire());
    const context = all.factory.contexts.get(1);
    context?.phase('connect', undefined, 'proxy:5432');
    context?.phase('connect', undefined, 'db:5432');
    context?.phase('tcp');
    await all.advance(300);
    const error = waiting.error as AcquireError;
    expect(error.message).toContain('still being made, at "tcp" of db:5432. Check that');
    expect(error.timeline.slice(1)).toEqual([
      { phase: 'connect', atMillis: 0, peer: 'proxy:5432' },
      { phase: 'connect', atMillis: 0, peer: 'db:5432' },
      { phase: 'tcp', atMillis: 0 },
    ]);
  });

  test('no phase where the factory tells none', async () => {
    const all = connections();
    all.factory.hold('create');
    expect((await timeout(all)).message).toContain('a new connection was still being made. Check that');
  });

  test('the phases of the one that has come furthest', async () => {
    const all = connections();
    all.factory.hold('create');
    const failing = timeout(all);
    void watch(all.pool.acquire({ timeoutMillis: 1000 }));
    all.factory.contexts.get(1)?.phase('dns');
    all.factory.contexts.get(2)?.phase('dns');
    all.factory.contexts.get(2)?.phase('tls');
    expect((await failing).phase).toBe('tls');
  });

  test('the phases of the new one, not of a dead one that is still going', async () => {
    const all = connections({ destroyTimeoutMillis: 10_000 });
    all.factory.onCreate = (resource, context) => {
      for (const phase of ['dns', 'tcp', 'tls', 'auth']) context.phase(phase);
      return resource;
    };
    const lease = await all.pool.acquire();
    all.factory.hold('destroy');
    lease.destroy();
    all.factory.hold('create');
    const failing = timeout(all);
    all.factory.contexts.get(2)?.phase('tcp');
    const error = await failing;
    expect(error.timeline).toEqual([
      { phase: 'queued', atMillis: 0 },
      { phase: 'tcp', atMillis: 0 },
    ]);
  });

  test('that a proof was under way, and since when', async () => {
    const all = connections({ max: 1, validateTimeoutMillis: 10_000 });
    all.factory.onCreate = (resource, context) => {
      context.phase('tcp');
      return resource;
    };
    await all.pool.warm();
    await all.clock.advance(5000);
    all.factory.hold('validate');
    const error = await timeout(all);
    expect(error.message).toBe(
      'Timed out after 300 ms waiting for a connection (max 1, leased 0, validating 1, waiting 0): a connection was still being proven alive or reset. See ERR_POOL_ACQUIRE_TIMEOUT.',
    );
    expect(error.timeline).toEqual([
      { phase: 'queued', atMillis: 0 },
      { phase: 'validate', atMillis: 0 },
    ]);
  });

  test('that a reset was under way, and since when', async () => {
    const all = connections({ max: 1, reset: true, resetTimeoutMillis: 10_000 });
    const lease = await all.pool.acquire();
    all.factory.hold('reset');
    const waiting = watch(all.pool.acquire());
    await all.advance(100);
    lease.release();
    await all.advance(200);
    expect((waiting.error as AcquireError).timeline).toEqual([
      { phase: 'queued', atMillis: 0 },
      { phase: 'reset', atMillis: 100 },
    ]);
  });

  test('that places are taken by what is being destroyed', async () => {
    const all = connections({ max: 1, destroyTimeoutMillis: 10_000 });
    const lease = await all.pool.acquire();
    all.factory.hold('destroy');
    lease.destroy();
    expect((await timeout(all)).message).toBe(
      'Timed out after 300 ms waiting for a connection (max 1, leased 0, closing 1, waiting 0): places are taken by connections that are still being destroyed. See ERR_POOL_ACQUIRE_TIMEOUT.',
    );
  });

  test('the idle ones too, where a suspect one waits for its turn', async () => {
    const all = connections({ max: 2, validateTimeoutMillis: 10_000, validateAfterIdleMillis: 10 });
    await all.pool.warm(2);
    await all.clock.advance(10);
    all.factory.hold('validate');
    expect((await timeout(all)).message).toContain('(max 2, leased 0, idle 1, validating 1, waiting 0)');
  });
});

describe('other ends of an acquire say', () => {
  test('that there was no time', async () => {
    const { pool, clock } = connections();
    const error = await errorOf(pool.acquire({ deadline: clock.now().wall - 40 }));
    expect(error.message).toBe(
      'No time left to wait for a connection (budget -40 ms; max 4, leased 0, waiting 0): the deadline has passed or is within its reserve. Give the function more time, or acquire earlier. See ERR_POOL_ACQUIRE_TIMEOUT.',
    );
  });

  test('when the wait was aborted, and where it was', async () => {
    const { pool, factory, advance } = connections();
    factory.hold('create');
    const abort = new AbortController();
    const waiting = watch(pool.acquire({ signal: abort.signal }));
    await advance(12);
    factory.contexts.get(1)?.phase('tls');
    await advance(30);
    abort.abort();
    await advance(0);
    expect((waiting.error as Error).message).toBe(
      'The wait for a connection was aborted after 42 ms, at "tls" (max 4, leased 0, creating 1, waiting 0): its AbortSignal fired. See ERR_POOL_ACQUIRE_ABORTED.',
    );
    expect((waiting.error as AcquireError).timeline).toEqual([
      { phase: 'queued', atMillis: 0 },
      { phase: 'tls', atMillis: 12 },
    ]);
  });

  test('that it was aborted before it began, whatever else is being made', async () => {
    const { pool, factory } = connections();
    factory.hold('create');
    void watch(pool.acquire());
    factory.contexts.get(1)?.phase('tls');
    const error = await errorOf(pool.acquire({ signal: AbortSignal.abort() }));
    expect(error.message).toBe(
      'The wait for a connection was aborted after 0 ms, at "queued" (max 4, leased 0, creating 1, waiting 1): its AbortSignal fired. See ERR_POOL_ACQUIRE_ABORTED.',
    );
  });

  test('what the factory said, with the timeline of that creation', async () => {
    const { pool, factory } = connections();
    const cause = new Error('connect ECONNREFUSED 127.0.0.1:5432');
    factory.onCreate = (_, context) => {
      context.phase('dns');
      context.phase('tcp');
      throw cause;
    };
    const error = await errorOf(pool.acquire());
    expect(error.message).toBe(
      'Could not make a connection: connect ECONNREFUSED 127.0.0.1:5432. See ERR_POOL_CREATE_FAILED.',
    );
    expect(error).toMatchObject({ code: 'ERR_POOL_CREATE_FAILED', cause, phase: 'tcp', stats: { createFailed: 1 } });
  });

  test.each<[string, unknown, string]>([
    ['an error with a full stop', new Error('No.'), 'No.'],
    ['an error without a message', new TypeError(''), 'TypeError.'],
    ['a string', 'no', 'no.'],
    ['nothing', undefined, 'undefined.'],
    [
      'what Node says when every address refuses',
      new AggregateError([new Error('connect ECONNREFUSED ::1:1'), new Error('connect ECONNREFUSED 127.0.0.1:1')]),
      'connect ECONNREFUSED ::1:1; connect ECONNREFUSED 127.0.0.1:1.',
    ],
    ['a collection with a message of its own', new AggregateError([new Error('a')], 'both failed'), 'both failed.'],
  ])('it in a sentence when it is %s', async (_, cause, why) => {
    const { pool, factory } = connections();
    factory.onCreate = () => {
      throw cause;
    };
    const error = await errorOf(pool.acquire());
    expect(error.message).toBe(`Could not make a connection: ${why} See ERR_POOL_CREATE_FAILED.`);
  });

  test('a code of the factory’s own, and what it says of it, once', async () => {
    const { pool, factory } = connections();
    factory.onCreate = () => {
      throw new PoolError('ERR_POOL_AUTH', 'The password is wrong. See ERR_POOL_AUTH.');
    };
    expect(await errorOf(pool.acquire())).toMatchObject({
      code: 'ERR_POOL_AUTH',
      message: 'Could not make a connection: The password is wrong. See ERR_POOL_AUTH.',
    });
  });

  test('where a creation was given up', async () => {
    const { pool, factory, advance } = connections({ acquireTimeoutMillis: 5000, createTimeoutMillis: 100 });
    factory.hold('create');
    const waiting = watch(pool.acquire());
    factory.contexts.get(1)?.phase('tcp');
    await advance(100);
    expect(waiting.error).toMatchObject({
      code: 'ERR_POOL_CREATE_TIMEOUT',
      message:
        'Could not make a connection: Gave up making a connection after 100 ms, at tcp. See ERR_POOL_CREATE_TIMEOUT.',
      phase: 'tcp',
    });
    const again = watch(pool.acquire());
    await advance(600);
    expect((again.error as Error).message).toContain('after 100 ms, at the start.');
  });

  test('nothing of what a factory tells after its creation has ended', async () => {
    const { pool, factory, advance } = connections({ max: 1 });
    const lease = await pool.acquire();
    factory.contexts.get(1)?.phase('idling');
    const waiting = watch(pool.acquire());
    await advance(300);
    expect(waiting.error).toMatchObject({ phase: 'queued', timeline: [{ phase: 'queued' }] });
    lease.release();
  });
});

import { describe, expect, test } from 'vitest';
import { watch } from '../../support/deferred.ts';
import { errorOf, harness } from './harness.ts';

describe('close', () => {
  test('closes an empty pool', async () => {
    const { pool, check } = harness();
    expect(pool.closed).toBe(false);
    await pool.close();
    expect(pool.closed).toBe(true);
    check();
  });

  test('refuses every acquire from then on', async () => {
    const { pool, factory, settle } = harness({ name: 'orders', noun: 'connection' });
    await pool.warm();
    void pool.close();
    const error = await errorOf(pool.acquire());
    expect(error.message).toBe(
      'The pool "orders" is closed and hands out no connection any more. Close it later, or make a new one. See ERR_POOL_CLOSED.',
    );
    expect(() => pool.tryAcquire()).toThrow(expect.objectContaining({ code: 'ERR_POOL_CLOSED' }));
    expect(await errorOf(pool.use(() => 1))).toMatchObject({ code: 'ERR_POOL_CLOSED' });
    expect(await errorOf(pool.warm())).toMatchObject({ code: 'ERR_POOL_CLOSED' });
    await settle();
    expect(factory.made).toBe(1);
  });

  test('returns the same promise when it is called again', async () => {
    const { pool } = harness();
    const lease = await pool.acquire();
    const [first, second] = [pool.close(), pool.close()];
    expect(second).toBe(first);
    lease.release();
    await first;
    expect(pool.close()).toBe(first);
  });

  test('destroys what is idle and waits until it is gone', async () => {
    const { pool, factory, settle } = harness();
    await pool.warm(3);
    factory.hold('destroy');
    const closed = watch(pool.close());
    await settle();
    expect(pool.stats()).toMatchObject({ closing: 3, idle: 0 });
    expect(closed.state).toBe('pending');
    factory.resume('destroy');
    await settle();
    expect(closed.state).toBe('fulfilled');
    expect(pool.stats()).toMatchObject({ total: 0, destroyed: { closed: 3 } });
  });

  test('waits for what is leased and destroys it as it comes back', async () => {
    const { pool, factory, settle } = harness();
    const [a, b] = [await pool.acquire(), await pool.acquire()];
    const closed = watch(pool.close());
    a.release();
    await settle();
    expect(closed.state).toBe('pending');
    expect(b.resource).toBe(2);
    b.destroy();
    await settle();
    expect(closed.state).toBe('fulfilled');
    expect(factory.callsOf('destroy')).toEqual(['1 closed', '2 broken']);
  });

  test('serves those who wait already, with what is leased and with new ones', async () => {
    const { pool, factory, settle } = harness({ max: 1 });
    const lease = await pool.acquire();
    const [first, second] = [watch(pool.acquire()), watch(pool.acquire())];
    const closed = watch(pool.close());
    lease.destroy();
    await settle();
    expect(first.value?.resource).toBe(2);
    first.value?.release();
    await settle();
    expect(second.value?.resource).toBe(2);
    second.value?.release();
    await settle();
    expect(closed.state).toBe('fulfilled');
    expect(factory.callsOf('destroy')).toEqual(['1 broken', '2 closed']);
  });

  test('stops a creation that nobody waits for', async () => {
    const { pool, factory, settle } = harness();
    factory.hold('create');
    const abort = new AbortController();
    const waiting = watch(pool.acquire({ signal: abort.signal }));
    abort.abort();
    const closed = watch(pool.close());
    expect(factory.contexts.get(1)?.signal.aborted).toBe(true);
    factory.held.create[0]?.resolve(1);
    await settle();
    expect([waiting.state, closed.state]).toEqual(['rejected', 'fulfilled']);
    expect(pool.stats()).toMatchObject({ total: 0, destroyed: { surplus: 1 } });
  });

  test('stops a creation when the last one who waited for it has gone', async () => {
    const { pool, factory, settle, advance } = harness();
    factory.hold('create');
    const waiting = watch(pool.acquire({ timeoutMillis: 50 }));
    const closed = watch(pool.close());
    await advance(49);
    expect(factory.contexts.get(1)?.signal.aborted).toBe(false);
    await advance(1);
    expect(waiting.state).toBe('rejected');
    expect(factory.contexts.get(1)?.signal.aborted).toBe(true);
    factory.held.create[0]?.reject(new Error('aborted'));
    await settle();
    expect(closed.state).toBe('fulfilled');
  });

  test('destroys what was being proven, once the answer is there', async () => {
    const { pool, factory, settle } = harness();
    await pool.warm();
    factory.hold('validate');
    void pool.thaw();
    const closed = watch(pool.close());
    await settle();
    expect(closed.state).toBe('pending');
    factory.resume('validate');
    await settle();
    expect(closed.state).toBe('fulfilled');
    expect(factory.callsOf('destroy')).toEqual(['1 closed']);
  });

  test('destroys what was being reset, once the answer is there', async () => {
    const { pool, factory, settle } = harness({ reset: true });
    const lease = await pool.acquire();
    factory.hold('reset');
    lease.release();
    const closed = watch(pool.close());
    factory.resume('reset');
    await settle();
    expect(closed.state).toBe('fulfilled');
    expect(factory.callsOf('destroy')).toEqual(['1 closed']);
  });

  test('ends with what hangs, by its budget', async () => {
    const { pool, factory, advance } = harness({ validateTimeoutMillis: 30, destroyTimeoutMillis: 20 });
    await pool.warm(2);
    factory.hold('validate');
    factory.hold('destroy');
    void pool.thaw();
    const closed = watch(pool.close());
    await advance(49);
    expect(closed.state).toBe('pending');
    await advance(1);
    expect(closed.state).toBe('fulfilled');
    expect(pool.stats().total).toBe(0);
  });

  test('waits for a late arrival to be destroyed', async () => {
    const { pool, factory, advance, settle } = harness({ createTimeoutMillis: 30, destroyTimeoutMillis: 20 });
    factory.hold('create');
    const waiting = watch(pool.acquire());
    await advance(50);
    expect([waiting.state, pool.stats().total]).toEqual(['rejected', 0]);
    factory.hold('destroy');
    factory.held.create[0]?.resolve(1);
    await settle();
    const closed = watch(pool.close());
    await settle();
    expect(closed.state).toBe('pending');
    await advance(20);
    expect(closed.state).toBe('fulfilled');
  });
});

describe('drain', () => {
  test('resolves at once when nothing is leased and nobody waits', async () => {
    const { pool } = harness();
    await pool.warm();
    await pool.drain();
    expect(pool.stats().idle).toBe(1);
  });

  test('resolves when the last lease is back and the last waiter is gone', async () => {
    const { pool, settle } = harness({ max: 1 });
    const lease = await pool.acquire();
    const waiting = watch(pool.acquire());
    const drained = watch(pool.drain());
    lease.release();
    await settle();
    expect(drained.state).toBe('pending');
    waiting.value?.release();
    await settle();
    expect(drained.state).toBe('fulfilled');
  });

  test('resolves when a wait ends without a resource, and refuses nobody meanwhile', async () => {
    const { pool, factory, settle } = harness();
    factory.hold('create');
    const abort = new AbortController();
    const waiting = watch(pool.acquire({ signal: abort.signal }));
    const drained = watch(pool.drain());
    const other = watch(pool.acquire());
    abort.abort();
    factory.resume('create');
    await settle();
    expect([waiting.state, drained.state, other.state]).toEqual(['rejected', 'pending', 'fulfilled']);
    other.value?.destroy();
    await settle();
    expect(drained.state).toBe('fulfilled');
  });
});

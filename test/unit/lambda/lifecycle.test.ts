import { beforeEach, describe, expect, it } from 'vitest';
import {
  type Invocation,
  Lifecycle,
  type LifecycleOptions,
  type LifecyclePool,
} from '../../../src/lambda/lifecycle.ts';
import { deferred } from '../../support/deferred.ts';
import { FakeClock } from '../../support/fake-clock.ts';

let clock: FakeClock;
let heard: unknown[][];
let warnings: string[];
/** What an invocation is found to have left behind. */
let left: Map<Invocation, string[]>;

beforeEach(() => {
  clock = new FakeClock();
  heard = [];
  warnings = [];
  left = new Map();
});

function make(env: LifecycleOptions['env'] = {}, pool: Partial<LifecyclePool> = {}): Lifecycle {
  return new Lifecycle(
    {
      thaw: async (millis) => void heard.push(['thaw', millis]),
      freeze: async () => void heard.push(['freeze']),
      reclaim: (invocation) => {
        heard.push(['reclaim', invocation.requestId]);
        return left.get(invocation) ?? [];
      },
      expire: async (invocation, grace) => void heard.push(['expire', invocation.requestId, grace]),
      ...pool,
    },
    { clock, deadlineReserveMillis: 250, env, onWarning: (message) => warnings.push(message) },
  );
}

const context = (awsRequestId: string, remaining?: number) => ({
  awsRequestId,
  ...(remaining === undefined ? {} : { getRemainingTimeInMillis: () => remaining }),
});

const lambda = { AWS_LAMBDA_RUNTIME_API: '127.0.0.1:9001' };

describe('an invocation', () => {
  it('is a thaw, a reclaim and a freeze', async () => {
    const lifecycle = make();
    clock.freeze(5000, { monotonicRuns: false });
    const invocation = await lifecycle.begin(context('a'));
    expect(heard).toEqual([['thaw', 5000]]);
    expect(invocation).toMatchObject({ requestId: 'a', deadline: undefined });
    await lifecycle.end(invocation);
    expect(heard.slice(1)).toEqual([['reclaim', 'a'], ['freeze']]);
    clock.freeze(300, { monotonicRuns: true });
    await lifecycle.begin(context('b'));
    expect(heard.at(-1)).toEqual(['thaw', 300]);
  });

  it('measures the gap from the end of the one before, its own length left out', async () => {
    const lifecycle = make();
    const first = await lifecycle.begin(context('a'));
    await clock.advance(10_000);
    await lifecycle.end(first);
    await clock.advance(40);
    await lifecycle.begin(context('b'));
    expect(heard.at(-1)).toEqual(['thaw', 40]);
  });

  it('measures the gap from the begin of the one before when its end was not seen', async () => {
    const lifecycle = make(lambda);
    await lifecycle.begin(context('a'));
    clock.freeze(7000, { monotonicRuns: false });
    await lifecycle.begin(context('b'));
    expect(heard).toEqual([
      ['thaw', 0],
      ['reclaim', 'a'],
      ['thaw', 7000],
    ]);
  });

  it('is waited for by its pool before it begins, and before it is over', async () => {
    const [thawing, freezing] = [deferred(), deferred()];
    const lifecycle = make({}, { thaw: () => thawing.promise, freeze: () => freezing.promise });
    let begun = false;
    const beginning = lifecycle.begin(context('a')).then((invocation) => {
      begun = true;
      return invocation;
    });
    await clock.turn();
    expect(begun).toBe(false);
    thawing.resolve();
    const invocation = await beginning;
    let over = false;
    const ending = lifecycle.end(invocation).then(() => (over = true));
    await clock.turn();
    expect(over).toBe(false);
    freezing.resolve();
    await ending;
  });

  it('counts once however often it was begun with one context, and ends with the outermost', async () => {
    const lifecycle = make(lambda);
    const same = context('a');
    const outer = await lifecycle.begin(same);
    const inner = await lifecycle.begin(same);
    expect(inner).toBe(outer);
    await lifecycle.end(inner);
    expect(heard).toEqual([['thaw', 0]]);
    await lifecycle.end(outer);
    expect(heard.slice(1)).toEqual([['reclaim', 'a'], ['freeze']]);
    await lifecycle.end(outer);
    expect(heard).toHaveLength(3);
  });

  it('is another one when a context comes again after its end', async () => {
    const lifecycle = make();
    const same = context('a');
    const first = await lifecycle.begin(same);
    await lifecycle.end(first);
    expect(await lifecycle.begin(same)).not.toBe(first);
  });

  it('warns of what it left behind', async () => {
    const lifecycle = make();
    for (const [id, sentence] of [
      ['request-1', 'Invocation request-1 ended'],
      [undefined, 'An invocation ended'],
    ] as const) {
      const invocation = await lifecycle.begin(id === undefined ? {} : context(id));
      left.set(invocation, ['one thing', 'another']);
      await lifecycle.end(invocation);
      expect(warnings.splice(0)).toEqual([
        `${sentence} and left behind: one thing; another. That was taken back. Release what you acquire and await what you start, or use use(fn) and transaction(fn), which do both.`,
      ]);
    }
  });

  it('takes a context whose clock throws for one without a limit', async () => {
    const lifecycle = make();
    const invocation = await lifecycle.begin({
      getRemainingTimeInMillis: () => {
        throw new Error('not here');
      },
    });
    expect(invocation.deadline).toBeUndefined();
  });
});

describe('several invocations', () => {
  it('are frozen when the last one is over', async () => {
    const lifecycle = make({ AWS_LAMBDA_MAX_CONCURRENCY: '8', ...lambda });
    const a = await lifecycle.begin(context('a'));
    await clock.advance(5000);
    const b = await lifecycle.begin(context('b'));
    expect(heard).toEqual([
      ['thaw', 0],
      ['thaw', 0],
    ]);
    await lifecycle.end(a);
    expect(heard.slice(2)).toEqual([['reclaim', 'a']]);
    await lifecycle.end(b);
    expect(heard.slice(3)).toEqual([['reclaim', 'b'], ['freeze']]);
  });

  it('cannot be under way at once on Lambda proper: the one before is over', async () => {
    const lifecycle = make(lambda);
    const a = await lifecycle.begin(context('a'));
    left.set(a, ['a connection']);
    const b = await lifecycle.begin(context('b'));
    expect(heard).toEqual([
      ['thaw', 0],
      ['reclaim', 'a'],
      ['thaw', 0],
    ]);
    expect(warnings[0]).toMatch(/^Invocation a ended and left behind: a connection\./);
    await lifecycle.end(a);
    expect(heard).toHaveLength(3);
    await lifecycle.end(b);
    expect(heard.slice(3)).toEqual([['reclaim', 'b'], ['freeze']]);
  });

  it.each<[string, LifecycleOptions['env']]>([
    ['outside of Lambda', {}],
    ['where they are usual', { AWS_LAMBDA_MAX_CONCURRENCY: '8', ...lambda }],
  ])('%s are over when their time is up, and not before', async (_, env) => {
    const lifecycle = make(env);
    await lifecycle.begin(context('a', 10_000));
    await lifecycle.begin(context('without a limit'));
    clock.freeze(9999, { monotonicRuns: false });
    await lifecycle.end(await lifecycle.begin(context('b')));
    expect(heard).not.toContainEqual(['reclaim', 'a']);
    clock.freeze(1, { monotonicRuns: false });
    await lifecycle.end(await lifecycle.begin(context('c')));
    expect(heard).toContainEqual(['reclaim', 'a']);
    expect(heard).not.toContainEqual(['reclaim', 'without a limit']);
  });
});

describe('the deadline', () => {
  it('expires what is under way, with a part of the reserve as grace', async () => {
    const lifecycle = make();
    const invocation = await lifecycle.begin(context('a', 3000));
    expect(invocation.deadline).toBe(clock.now().wall + 2750);
    await clock.advance(2749);
    expect(heard).toEqual([['thaw', 0]]);
    await clock.advance(1);
    expect(heard[1]).toEqual(['expire', 'a', 100]);
  });

  it('expires nothing that is over', async () => {
    const lifecycle = make();
    await lifecycle.end(await lifecycle.begin(context('a', 3000)));
    await clock.advance(10_000);
    expect(heard.filter(([what]) => what === 'expire')).toEqual([]);
    expect(clock.timers).toBe(0);
  });

  it('shares one timer with those before and after, and still expires each when it is due', async () => {
    const lifecycle = make();
    await lifecycle.end(await lifecycle.begin(context('first', 3000)));
    await clock.advance(1000);
    await lifecycle.begin(context('second', 3000));
    expect(clock.timers).toBe(1);
    await clock.advance(2749);
    expect(heard.filter(([what]) => what === 'expire')).toEqual([]);
    await clock.advance(1);
    expect(heard.filter(([what]) => what === 'expire')).toEqual([['expire', 'second', 100]]);
  });

  it('that is sooner than those of others is not missed', async () => {
    const lifecycle = make({ AWS_LAMBDA_MAX_CONCURRENCY: '8' });
    const expired = (): unknown[] => heard.filter(([what]) => what === 'expire').map(([, which]) => which);
    await lifecycle.begin(context('long', 5000));
    await lifecycle.begin(context('short', 1000));
    await lifecycle.begin(context('middle', 3000));
    expect(clock.timers).toBe(1);
    await clock.advance(750);
    expect(expired()).toEqual(['short']);
    await clock.advance(2000);
    expect(expired()).toEqual(['short', 'middle']);
    await clock.advance(2000);
    expect(expired()).toEqual(['short', 'middle', 'long']);
    await clock.advance(10_000);
    expect(expired()).toHaveLength(3);
  });

  it.each([
    ['before it, in time', 0, 2750],
    ['a moment before it, with the grace', 2700, 100],
    ['after it, with the grace', 2800, 100],
  ])('bounds what the pool does at the end of an invocation that ends %s', async (_, works, waits) => {
    const lifecycle = make({}, { freeze: () => new Promise(() => {}) });
    const invocation = await lifecycle.begin(context('a', 3000));
    await clock.advance(works);
    let over = false;
    void lifecycle.end(invocation).then(() => (over = true));
    await clock.advance(waits - 1);
    expect(over).toBe(false);
    await clock.advance(1);
    expect(over).toBe(true);
  });

  it('does not cut short what the pool does without one', async () => {
    const done = deferred();
    const lifecycle = make({}, { freeze: () => done.promise });
    const ending = lifecycle.end(await lifecycle.begin(context('a')));
    let over = false;
    void ending.then(() => (over = true));
    await clock.advance(100_000);
    expect(over).toBe(false);
    done.resolve();
    await ending;
  });

  it('that has passed expires at once', async () => {
    const lifecycle = make();
    await lifecycle.begin(context('a', -5));
    await clock.advance(0);
    expect(heard[1]).toEqual(['expire', 'a', 100]);
  });
});

// Metrics as Datadog gets them: over UDP, by a server that takes nothing that is malformed, and through clients.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { DatadogClient, DatadogEventOptions } from '../../../src/telemetry/datadog-client.ts';
import { type DatadogMetrics, type DatadogOptions, datadogMetrics } from '../../../src/telemetry/datadog-metrics.ts';
import { datadogNames, limitName } from '../../../src/telemetry/datadog-names.ts';
import { deferred } from '../../support/deferred.ts';
import { DogStatsd, parseDatagram } from './dogstatsd.ts';
import { type Ended, namedPool, script } from './named-pool.ts';

let server: DogStatsd;
let started: DatadogMetrics[];
let warnings: string[];
beforeEach(async () => {
  for (const name of ['DD_SERVICE', 'DD_ENV', 'DD_VERSION', 'DD_TAGS', 'DD_AGENT_HOST', 'AWS_LAMBDA_FUNCTION_NAME']) {
    vi.stubEnv(name, undefined);
  }
  server = await DogStatsd.start();
  vi.stubEnv('DD_DOGSTATSD_PORT', String(server.port));
  started = [];
  warnings = [];
});
afterEach(async () => {
  for (const each of started) each.stop();
  await server.stop();
  vi.unstubAllEnvs();
  vi.useRealTimers();
  expect(server.faults).toEqual([]);
});

function start(pool: Parameters<typeof datadogMetrics>[0], options: DatadogOptions = {}): DatadogMetrics {
  const made = datadogMetrics(pool, { onWarning: (message) => warnings.push(message), ...options });
  started.push(made);
  return made;
}

/** What the server has got, added up: `name{tags}` without those of the pool. */
function sums(): Record<string, number> {
  const found: Record<string, number> = {};
  for (const { name, value, tags } of server.metrics) {
    const by = tags.filter((tag) => tag.startsWith('reason:')).join();
    const key = by === '' ? name : `${name}{${by}}`;
    found[key] = (found[key] ?? 0) + value;
  }
  return found;
}

/** The limit is the last that is sent of a pool. */
const arrived = () => server.until(() => server.metrics.some(({ name }) => name === limitName));
const options = { max: 2, maxIdle: 1, acquireTimeoutMillis: 60_000 };

/** A client of which every call is checked, as hot-shots has it. */
function hotShots() {
  const calls: [method: string, name: string, value: unknown, tags: string[]][] = [];
  const method = (kind: string) =>
    vi.fn((name: string, value: number, tags: string[], ...rest: never[]) => {
      expect([typeof name, Number.isFinite(value), Array.isArray(tags), rest.length]).toEqual([
        'string',
        true,
        true,
        0,
      ]);
      calls.push([kind, name, value, tags]);
    });
  const event = vi.fn((title: string, text: string, about: DatadogEventOptions, tags: string[]) => {
    expect(Object.keys(about).toSorted()).toEqual(['aggregation_key', 'alert_type']);
    calls.push(['event', title, text, tags]);
  });
  const client = {
    distribution: method('distribution'),
    gauge: method('gauge'),
    increment: method('increment'),
    event,
  } satisfies DatadogClient;
  return { client, calls };
}

describe('the metrics of a pool', () => {
  it('are what happened in it', async () => {
    const named = namedPool('default', options);
    const metrics = start(named.metered);
    await script(named);
    await metrics.flush();
    await arrived();
    const stats = named.pool.stats();
    expect(sums()).toEqual({
      'thawpool.acquire.count': stats.acquired,
      'thawpool.acquire.wait_time': 1000,
      'thawpool.acquire.failures': stats.acquireFailed,
      'thawpool.acquire.timeouts': 1,
      'thawpool.connect.count': stats.created,
      'thawpool.connect.time': 500,
      'thawpool.connect.failures': stats.createFailed,
      'thawpool.retries': 4,
      'thawpool.fallbacks': 1,
      'thawpool.credentials_renewed': 1,
      'thawpool.frozen_time': 9000,
      'thawpool.validate.count': stats.validated + stats.invalidated,
      'thawpool.validate.time': 0,
      'thawpool.validate.failures': stats.invalidated,
      'thawpool.evictions{reason:invalid}': 1,
      'thawpool.evictions{reason:stale-credentials}': 1,
      'thawpool.evictions{reason:surplus}': 1,
      'thawpool.leaks_reclaimed': stats.reclaimed,
      'thawpool.pins': 2,
      'thawpool.connections.open': 2,
      'thawpool.connections.idle': stats.idle,
      'thawpool.connections.leased': 2,
      'thawpool.connections.waiting': 2,
      'thawpool.connections.max': 2,
    });
    expect([stats.acquired, stats.created, stats.invalidated, stats.reclaimed]).toEqual([5, 3, 1, 1]);
  });

  it('are counts, gauges and distributions', async () => {
    const named = namedPool('default', options);
    const metrics = start(named.metered);
    await script(named);
    await metrics.flush();
    await arrived();
    const types = new Map(server.metrics.map(({ name, type }) => [name, type]));
    for (const [name, type] of types) {
      const wanted = name.startsWith('thawpool.connections.') ? 'g' : name.endsWith('time') ? 'd' : 'c';
      expect([name, type]).toEqual([name, wanted]);
    }
    // A time has a value for each event.
    expect(server.metrics.filter(({ name }) => name === 'thawpool.acquire.wait_time')).toHaveLength(5);
  });

  it('are distributions on Lambda, where those of several sandboxes add up', async () => {
    vi.stubEnv('AWS_LAMBDA_FUNCTION_NAME', 'orders');
    const named = namedPool('default', options);
    const metrics = start(named.metered);
    await script(named);
    await metrics.flush();
    await arrived();
    expect(new Set(server.metrics.map(({ type }) => type))).toEqual(new Set(['d']));
  });

  it('are sent once, and not at all of a pool in which nothing happens', async () => {
    const { metered, pool } = namedPool('default', { maxIdle: 0 });
    const metrics = start(metered);
    await metrics.flush();
    (await pool.acquire()).release();
    await pool.freeze();
    await metrics.flush();
    await arrived();
    expect(sums()['thawpool.acquire.count']).toBe(1);
    const { length } = server.metrics;
    await metrics.flush();
    const { length: after } = server.metrics;
    expect(after).toBe(length);
    expect(server.metrics.filter(({ name }) => name === limitName)).toHaveLength(1);
  });

  it('have a reader told apart from its writer', async () => {
    const reader = namedPool('default:reader');
    const writer = namedPool('default', {}, { reader: reader.metered });
    const metrics = start(writer.metered);
    (await reader.pool.acquire()).release();
    (await writer.pool.acquire()).release();
    await metrics.flush();
    await server.until(() => server.metrics.filter(({ name }) => name === limitName).length === 2);
    const acquires = server.metrics.filter(({ name }) => name === 'thawpool.acquire.count');
    expect(acquires.map(({ tags }) => tags)).toEqual([['pool:default'], ['pool:default:reader']]);
  });

  it('fit into datagrams, however many there are', async () => {
    const { metered, pool } = namedPool('default', { max: 1 });
    const metrics = start(metered, { tags: { stage: 'x'.repeat(150) } });
    for (let count = 0; count < 100; count += 1) (await pool.acquire()).release();
    await metrics.flush();
    await arrived();
    expect(server.datagrams).toBeGreaterThan(10);
    expect(sums()['thawpool.acquire.count']).toBe(100);
  });

  it('end with stop()', async () => {
    const { metered, pool } = namedPool('default');
    const { client, calls } = hotShots();
    const metrics = start(metered, { client });
    metrics.stop();
    (await pool.acquire()).release();
    await metrics.flush();
    expect(calls).toEqual([]);
  });
});

describe('the tags', () => {
  const tagsWith = async (more: DatadogOptions = {}, name = 'default') => {
    const { metered, pool } = namedPool(name);
    const metrics = start(metered, more);
    (await pool.acquire()).release();
    await metrics.flush();
    await arrived();
    const [first] = server.metrics;
    for (const { tags } of server.metrics) expect(tags).toEqual(first?.tags);
    return first?.tags;
  };

  it('are the service, those asked for, and the pool', async () => {
    expect(await tagsWith({ service: 'orders', tags: { team: 'shop' } })).toEqual([
      'team:shop',
      'service:orders',
      'pool:default',
    ]);
  });

  it('come from Datadog’s environment variables, and options are above these', async () => {
    vi.stubEnv('DD_TAGS', 'team:shop,env:other stage:blue zone:a nothing :x y:');
    vi.stubEnv('DD_ENV', 'prod');
    vi.stubEnv('DD_SERVICE', 'orders');
    vi.stubEnv('DD_VERSION', '1.2.3');
    const tags = await tagsWith({ tags: { stage: 'green' } });
    expect(tags?.toSorted()).toEqual(
      ['team:shop', 'zone:a', 'env:prod', 'stage:green', 'service:orders', 'version:1.2.3', 'pool:default'].toSorted(),
    );
    server.metrics.length = 0;
    expect(await tagsWith({ service: 'billing' })).toContain('service:billing');
  });

  it('hold nothing that would end them', async () => {
    const tags = await tagsWith({ service: 'a|b', tags: { note: 'x,y#z\nq:g|c é' } }, 'my pool|#1');
    expect(tags).toEqual(['note:x_y_z_q:g_c_é', 'service:a_b', 'pool:my_pool__1']);
  });

  it('are 200 characters long at most', async () => {
    const tags = await tagsWith({ tags: { note: '😀é'.repeat(200) } });
    expect(Array.from(tags?.[0] ?? '')).toHaveLength(200);
  });

  it('are left to a client that is handed in, but for the service', async () => {
    vi.stubEnv('DD_ENV', 'prod');
    vi.stubEnv('DD_SERVICE', 'orders');
    const { metered, pool } = namedPool('default');
    const { client, calls } = hotShots();
    const metrics = start(metered, { client });
    (await pool.acquire()).release();
    await metrics.flush();
    expect(calls[0]?.[3]).toEqual(['service:orders', 'pool:default']);
  });

  it.each([
    [{ '1st': 'x' }, 'the key of a tag is a letter'],
    [{ 'a,b': 'x' }, 'the key of a tag is a letter'],
    [{ pool: 'x' }, 'tags must not have pool'],
    [{ reason: 'x' }, 'tags must not have reason'],
    [{ stage: ' ' }, 'tag stage must be a text that is not empty'],
    [{ stage: 1 as unknown as string }, 'tag stage must be a text that is not empty, got 1'],
  ])('%j are refused', (tags, message) => {
    expect(() => datadogMetrics(namedPool('default').metered, { tags })).toThrow(message);
  });

  it('refuse an empty service', () => {
    expect(() => datadogMetrics(namedPool('default').metered, { service: '' })).toThrow('tag service must be a text');
  });
});

describe('the address', () => {
  it('is an option, above the environment', async () => {
    vi.stubEnv('DD_DOGSTATSD_PORT', '1');
    vi.stubEnv('DD_AGENT_HOST', '192.0.2.1');
    const { metered, pool } = namedPool('default');
    const metrics = start(metered, { host: '127.0.0.1', port: server.port });
    (await pool.acquire()).release();
    await metrics.flush();
    await arrived();
  });

  it('may be a name, of the environment', async () => {
    vi.stubEnv('DD_AGENT_HOST', 'localhost');
    const { metered, pool } = namedPool('default');
    const metrics = start(metered);
    (await pool.acquire()).release();
    await metrics.flush();
    await arrived();
  });

  it.each(['0', '65536', 'x', '1.5'])('refuses port %s', (port) => {
    vi.stubEnv('DD_DOGSTATSD_PORT', port);
    const { metered } = namedPool('default');
    expect(() => datadogMetrics(metered)).toThrow(`DD_DOGSTATSD_PORT must be a number from 1 to 65535, got "${port}"`);
    expect(() => datadogMetrics(metered, { port: Number(port) })).toThrow('port must be a number from 1 to 65535');
  });

  it('that is none is said once, and costs no acquire', async () => {
    const { metered, pool, warnings: told } = namedPool('default');
    const warned = deferred<string>();
    const onWarning = (message: string) => {
      warnings.push(message);
      warned.resolve(message);
    };
    // The system refuses to tell everybody, without asking the network.
    const metrics = start(metered, { host: '255.255.255.255', onWarning });
    for (const _ of [1, 2]) {
      (await pool.acquire()).release();
      await metrics.flush();
    }
    expect(await warned.promise).toContain('could not be sent to Datadog');
    expect(warnings).toHaveLength(1);
    expect(told).toEqual([]);
  });

  it('gets 64 KB at once at most: what is more is left out, and said', async () => {
    const { metered, pool } = namedPool('default', { max: 1 });
    const tags = Object.fromEntries(Array.from({ length: 6 }, (_, n) => [`tag${n}`, 'x'.repeat(190)]));
    const metrics = start(metered, { tags });
    for (let count = 0; count < 100; count += 1) (await pool.acquire()).release();
    const sent = metrics.flush();
    await server.next();
    await sent;
    expect(warnings).toEqual([expect.stringContaining('a line of 12')]);
    expect(server.metrics.length).toBeLessThanOrEqual(65_536 / 1200);
  });
});

describe('a client', () => {
  it('of hot-shots gets counts, gauges and distributions', async () => {
    const named = namedPool('default', options);
    const { client, calls } = hotShots();
    const metrics = start(named.metered, { client });
    await script(named);
    await metrics.flush();
    const by = (kind: string) => new Set(calls.filter(([method]) => method === kind).map(([, name]) => name));
    expect(by('gauge')).toEqual(
      new Set(['open', 'idle', 'leased', 'waiting', 'max'].map((n) => `thawpool.connections.${n}`)),
    );
    expect(by('distribution')).toEqual(
      new Set(['acquire.wait_time', 'connect.time', 'frozen_time', 'validate.time'].map((n) => `thawpool.${n}`)),
    );
    expect(by('increment')).toContain('thawpool.acquire.count');
    expect(server.datagrams).toBe(0);
  });

  it('that knows distributions alone gets everything as such, and no events', async () => {
    const named = namedPool('default', options);
    const names = new Set<string>();
    const metrics = start(named.metered, { client: { distribution: (name) => names.add(name) } });
    await script(named);
    await metrics.flush();
    expect([...names]).toEqual(
      expect.arrayContaining(['thawpool.acquire.count', 'thawpool.connections.open', 'thawpool.evictions']),
    );
    expect(warnings).toEqual([]);
  });

  it.each([
    [
      'throws',
      () => {
        throw new Error('closed');
      },
    ],
    ['rejects', () => Promise.reject(new Error('closed'))],
  ])('that %s is heard of once, and costs nothing', async (_, distribution) => {
    const { metered, pool } = namedPool('default');
    const metrics = start(metered, { client: { distribution } });
    for (const _ of [1, 2]) {
      (await pool.acquire()).release();
      await metrics.flush();
    }
    expect(warnings).toEqual(['Metrics could not be sent to Datadog, and were left out (said once): Error: closed']);
  });
});

describe('events', () => {
  it('tell of leaks, failed proofs, generations and replaced credentials', async () => {
    const named = namedPool('my pool', options);
    const metrics = start(named.metered, { service: 'orders' });
    await script(named);
    await metrics.flush();
    await server.until(() => server.events.length === 4);
    const byKey = Object.fromEntries(server.events.map((event) => [event.key, event]));
    expect(Object.keys(byKey).toSorted()).toEqual(
      ['failed-proof', 'generation', 'leak', 'stale-credentials'].map((kind) => `pool-my_pool-${kind}`),
    );
    for (const { title, alert, tags } of server.events) {
      expect(title).toMatch(/^thawpool: /);
      expect([alert, tags]).toEqual(['warning', ['service:orders', 'pool:my_pool']]);
    }
    expect(byKey['pool-my_pool-leak']?.text).toMatch(/^1 connections were not released/);
    expect(byKey['pool-my_pool-failed-proof']?.text).toMatch(/^1 connections did not answer/);
  });

  it('of one kind are a minute apart, and add up', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const { metered, pool } = namedPool('default', { max: 2 });
    const { client } = hotShots();
    const metrics = start(metered, { client });
    const leak = async () => {
      const owner = {};
      await pool.acquire({ owner });
      pool.reclaim(owner);
      await metrics.flush();
    };
    await leak();
    await leak();
    vi.setSystemTime(Date.now() + 59_000);
    await leak();
    expect(client.event).toHaveBeenCalledTimes(1);
    vi.setSystemTime(Date.now() + 1000);
    await leak();
    expect(client.event.mock.calls.map(([, text]) => text.slice(0, 2))).toEqual(['1 ', '3 ']);
  });

  it('are none of an ordinary day', async () => {
    const { metered, pool } = namedPool('default', { maxIdle: 0 });
    const { client } = hotShots();
    const metrics = start(metered, { client });
    (await pool.acquire()).release();
    await pool.freeze();
    pool.evict('expired');
    await metrics.flush();
    expect(client.event).not.toHaveBeenCalled();
  });
});

describe('the end of an invocation', () => {
  it('sends, with the datagrams handed over when it resolves', async () => {
    const meters = new Set<Ended>();
    const { metered, pool } = namedPool('default', {}, { meters });
    const metrics = start(metered);
    (await pool.acquire()).release();
    for (const ended of meters) await ended('1', true, Date.now() + 60_000);
    await arrived();
    metrics.stop();
    expect(meters.size).toBe(0);
  });

  it('sends at most every ten seconds while others run', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const meters = new Set<Ended>();
    const { metered, pool } = namedPool('default', {}, { meters });
    const { client } = hotShots();
    start(metered, { client });
    (await pool.acquire()).release();
    for (const ended of meters) await ended('1', false);
    expect(client.increment).not.toHaveBeenCalled();
    vi.setSystemTime(Date.now() + 10_000);
    for (const ended of meters) await ended('2', false);
    expect(client.increment).toHaveBeenCalled();
  });

  it('unseen, is made up for by a timer that keeps no process alive', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const { metered, pool } = namedPool('default');
    const { client } = hotShots();
    const metrics = start(metered, { client });
    (await pool.acquire()).release();
    vi.advanceTimersByTime(9999);
    expect(client.increment).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(client.increment).toHaveBeenCalled();
    metrics.stop();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is not held up by what cannot be sent', async () => {
    const never = deferred<unknown>();
    const warned = deferred<string>();
    const meters = new Set<Ended>();
    const { metered, pool } = namedPool('default', {}, { meters });
    start(metered, { client: { distribution: () => never.promise }, onWarning: (message) => warned.resolve(message) });
    (await pool.acquire()).release();
    for (const ended of meters) await ended('1', true);
    never.reject(new Error('late'));
    expect(await warned.promise).toContain('late');
  });
});

describe('the server of these tests', () => {
  it.each([
    'thawpool.x:1|c|#a b',
    'thawpool.x:1|c|#a,,b',
    'thawpool.x:1|c|#a:',
    'thawpool.x:1|c|#a:1,a:1',
    'thawpool.x:NaN|g',
    'thawpool.x:1|q',
    'thawpool.x:1|c\n',
    'thawpool-x:1|c',
    '_e{5,4}:title|textt|k:a|t:warning',
    '_e{6,4}:title|text|k:a|t:warning',
    '_e{5,4}:title|text|k:a|t:loud',
    `x:1|c|#a:${'x'.repeat(1500)}`,
  ])('takes no %j', (line) => {
    expect(() => parseDatagram(Buffer.from(line))).toThrow();
  });

  it('takes what is documented', () => {
    expect(parseDatagram(Buffer.from('a.b:1.5|d|#env:prod,é:1\n_e{2,4}:é|a\\nb|k:x|t:warning|#a:b'))).toEqual([
      { name: 'a.b', value: 1.5, type: 'd', tags: ['env:prod', 'é:1'] },
      { title: 'é', text: 'a\\nb', key: 'x', alert: 'warning', tags: ['a:b'] },
    ]);
  });
});

describe('the table of names', () => {
  it('has names that Datadog takes', () => {
    for (const { name, tag } of [...Object.values(datadogNames), { name: limitName, tag: undefined }]) {
      expect(name).toMatch(/^thawpool\.[a-z_]+(\.[a-z_]+)?$/);
      if (tag) expect(tag).toMatch(/^reason:[a-z-]+$/);
    }
  });
});

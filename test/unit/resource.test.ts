import { afterEach, describe, expect, test, vi } from 'vitest';
import { dropResource, getResource } from '../../src/index.ts';
import { deferred } from '../support/deferred.ts';
import { FakeClock } from '../support/fake-clock.ts';

const used = new Set<string>();
const fresh = (): string => {
  const name = `resource ${used.size}`;
  used.add(name);
  return name;
};
afterEach(async () => {
  for (const name of used) await dropResource(name);
});

describe('a resource', () => {
  test('is made on the first call, and only then', () => {
    const make = vi.fn(() => ({ made: true }));
    const name = fresh();
    const first = getResource(name, make);
    expect(getResource(name, make)).toBe(first);
    expect(make).toHaveBeenCalledTimes(1);
  });

  test('is told from others by its name', () => {
    expect(getResource(fresh(), () => ({}))).not.toBe(getResource(fresh(), () => ({})));
  });

  test('stays what whoever asked first has made', () => {
    const name = fresh();
    const first = getResource(name, () => ({ from: 'first' }));
    expect(getResource(name, () => ({ from: 'second' }))).toBe(first);
  });

  test.each([undefined, null, 0, ''])('may be %j', (value) => {
    const make = vi.fn(() => value);
    const name = fresh();
    expect([getResource(name, make), getResource(name, make)]).toEqual([value, value]);
    expect(make).toHaveBeenCalledTimes(1);
  });

  test('is shared with another copy of the package', async () => {
    vi.resetModules();
    const other = await import('../../src/resource.ts');
    expect(other.getResource).not.toBe(getResource);
    const name = fresh();
    const mine = getResource(name, () => ({}));
    expect(other.getResource(name, () => ({}))).toBe(mine);
  });
});

describe('making one', () => {
  test('is one flight for all who ask meanwhile', async () => {
    const flight = deferred<object>();
    const make = vi.fn(() => flight.promise);
    const name = fresh();
    const all = [getResource(name, make), getResource(name, make)];
    const resource = {};
    flight.resolve(resource);
    for (const one of await Promise.all(all)) expect(one).toBe(resource);
    expect(await getResource(name, make)).toBe(resource);
    expect(make).toHaveBeenCalledTimes(1);
  });

  test('fails for all of them when it fails, and is tried again by the next', async () => {
    const name = fresh();
    const make = vi.fn(() => Promise.reject<object>(new Error('no network')));
    const all = [getResource(name, make), getResource(name, make)];
    for (const one of all) await expect(one).rejects.toThrow('no network');
    await expect(getResource(name, async () => 'made')).resolves.toBe('made');
    expect(make).toHaveBeenCalledTimes(1);
  });

  test('is not kept when it throws', () => {
    const name = fresh();
    expect(() =>
      getResource(name, () => {
        throw new Error('no region');
      }),
    ).toThrow('no region');
    expect(getResource(name, () => 'made')).toBe('made');
  });

  test('cannot ask for itself', () => {
    const name = fresh();
    const make = (): unknown => getResource(name, make);
    expect(() => getResource(name, make)).toThrow(
      expect.objectContaining({
        code: 'ERR_POOL_NAME_CONFLICT',
        message: `The resource "${name}" was asked for while it is being made: what makes it asks for its own name. Give what it needs another name. See ERR_POOL_NAME_CONFLICT.`,
      }),
    );
    expect(getResource(name, () => 'made')).toBe('made');
  });

  test.each([
    ['', () => 1, {}, 'must be a string that is not empty'],
    ['s3', { client: true }, {}, 'must be a function'],
    ['s3', () => 1, { staleAfterMillis: -1 }, 'staleAfterMillis must be a number of milliseconds, 0 or more, got -1'],
    ['s3', () => 1, { staleAfterMillis: Number.NaN }, 'got NaN'],
  ])('of %j from %j with %j is refused', (name, make, options, words) => {
    expect(() => getResource(name, make as () => unknown, options)).toThrow(
      expect.objectContaining({ code: 'ERR_POOL_INVALID_OPTION', message: expect.stringContaining(words) as string }),
    );
  });
});

describe('a resource that was not asked for in a long while', () => {
  test.each([true, false])(
    'is made anew, and the old one destroyed (monotonic clock runs: %s)',
    async (monotonicRuns) => {
      const clock = new FakeClock();
      const destroy = vi.fn<(n: number) => void>();
      let made = 0;
      const name = fresh();
      const get = (): number => getResource(name, () => ++made, { staleAfterMillis: 1000, destroy, clock });
      expect(get()).toBe(1);
      clock.freeze(999, { monotonicRuns });
      expect(get()).toBe(1);
      clock.freeze(1000, { monotonicRuns });
      expect(get()).toBe(2);
      await vi.waitFor(() => expect(destroy.mock.calls).toEqual([[1]]));
    },
  );

  test('stays where no such time was named', () => {
    const clock = new FakeClock();
    const name = fresh();
    const first = getResource(name, () => ({}), { clock });
    clock.freeze(1e9, { monotonicRuns: true });
    expect(getResource(name, () => ({}), { clock })).toBe(first);
  });
});

describe('dropping one', () => {
  test('destroys it once it is made, and the next call makes another', async () => {
    const flight = deferred<string>();
    const destroy = vi.fn<(s: string) => void>();
    const name = fresh();
    void getResource(name, () => flight.promise, { destroy });
    const dropped = dropResource(name);
    expect(getResource(name, () => 'second')).toBe('second');
    flight.resolve('first');
    await dropped;
    expect(destroy.mock.calls).toEqual([['first']]);
  });

  test('does not take the next one with it when the dropped one fails', async () => {
    const flight = deferred<string>();
    const name = fresh();
    const first = getResource(name, () => flight.promise);
    const dropped = dropResource(name);
    getResource(name, () => 'second');
    flight.reject(new Error('late'));
    await expect(first).rejects.toThrow('late');
    await dropped;
    expect(getResource(name, () => 'third')).toBe('second');
  });

  test('warns of a destroy that fails, and throws nothing', async () => {
    const warned = vi.spyOn(process, 'emitWarning').mockReturnValue();
    const name = fresh();
    getResource(name, () => 1, { destroy: () => Promise.reject(new Error('busy')) });
    await dropResource(name);
    expect(warned.mock.calls).toEqual([[`The resource "${name}" could not be destroyed: Error: busy`, 'PoolWarning']]);
    warned.mockRestore();
  });

  test('of a name that nobody has is nothing', async () => {
    await expect(dropResource('nobody')).resolves.toBeUndefined();
  });
});

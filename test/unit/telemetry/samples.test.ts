import { describe, expect, it } from 'vitest';
import { Samples } from '../../../src/telemetry/samples.ts';

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

function filled(values: readonly number[], random: () => number = () => 0.999): Samples {
  const samples = new Samples(random);
  for (const value of values) samples.add(value);
  return samples;
}

describe('samples', () => {
  it('are nothing where there was none', () => {
    expect(new Samples(Math.random).take()).toBeUndefined();
  });

  it('are all of them, in their order, up to 100', () => {
    expect(filled([3, 1, 2]).take()).toEqual([3, 1, 2]);
    expect(filled(upTo(100)).take()).toEqual(upTo(100));
  });

  it('are zeros as well', () => {
    expect(filled([0, 0]).take()).toEqual([0, 0]);
  });

  it('begin anew when they are taken', () => {
    const samples = filled(upTo(150));
    samples.take();
    expect(samples.take()).toBeUndefined();
    samples.add(7);
    expect(samples.take()).toEqual([7]);
  });

  it('are rounded to microseconds', () => {
    expect(filled([1.23456789, 0.1 + 0.2]).take()).toEqual([1.235, 0.3]);
  });

  it('are 100 of more, of which one replaces another by chance', () => {
    const [first] = filled([...upTo(100), 50.5], () => 0).take() ?? [];
    expect(first).toBe(50.5);
    const kept = filled([...upTo(100), 50.5], () => 0.995).take() ?? [];
    expect(kept).toEqual(upTo(100));
  });

  it('are drawn from early and late values alike', () => {
    let seed = 1;
    const random = (): number => {
      // Lehmer's generator: the same numbers each time.
      seed = (seed * 48_271) % 2_147_483_647;
      return seed / 2_147_483_647;
    };
    let late = 0;
    for (let round = 0; round < 50; round += 1) {
      const values = filled(upTo(1000), random).take() ?? [];
      expect(values).toHaveLength(100);
      late += values.filter((value) => value > 500).length;
    }
    // 2500 are expected of 5000; by chance alone fewer than 2300 or more than 2700 come once in a hundred million times.
    expect(late).toBeGreaterThan(2300);
    expect(late).toBeLessThan(2700);
  });

  it('hold the largest of all, whatever was drawn', () => {
    const values = filled([...upTo(100), 5000, ...upTo(100)], () => 0.999).take();
    expect(values).toHaveLength(100);
    expect(Math.max(...(values ?? []))).toBe(5000);
  });
});

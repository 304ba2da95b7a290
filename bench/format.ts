/** Figures in words. Pure. */
import type { Figure, Row, Target, Unit } from './model.ts';

/** Three digits tell everything that a measurement can. */
function digits(value: number): string {
  return Number(value.toPrecision(3)).toLocaleString('en', { maximumSignificantDigits: 3 });
}

const SCALES: readonly (readonly [least: number, factor: number, unit: string])[] = [
  [1e6, 1e-6, 'ms'],
  [1e3, 1e-3, 'µs'],
  [0, 1, 'ns'],
];

function nanos(value: number): string {
  const [, factor, unit] = SCALES.find(([least]) => Math.abs(value) >= least) ?? [0, 1, 'ns'];
  return `${digits(value * factor)} ${unit}`;
}

/** A kilobyte has 1024 bytes here, as in the limits of the design. */
function bytes(value: number): string {
  return Math.abs(value) < 10_000 ? `${Math.round(value).toLocaleString('en')} B` : `${digits(value / 1024)} KB`;
}

/** Returns a value with its unit, as a reader wants it. */
export function formatValue(value: number, unit: Unit): string {
  switch (unit) {
    case 'ns':
      return nanos(value);
    case 'µs':
      return nanos(value * 1e3);
    case 'ms':
      return nanos(value * 1e6);
    case 'per second':
      return `${digits(value)}/s`;
    case 'bytes':
      return bytes(value);
    case 'ratio':
      return `${digits(value)}×`;
    case 'share':
      return `${digits(value * 100)} %`;
    case 'count':
      return digits(value);
  }
}

/** Returns `52 ns (49 ns to 58 ns)`; of what does not vary, the value alone. */
export function formatSpread({ median, low, high }: Pick<Row, 'median' | 'low' | 'high'>, unit: Unit): string {
  const text = formatValue(median, unit);
  return low === high ? text : `${text} (${formatValue(low, unit)} to ${formatValue(high, unit)})`;
}

/** Returns what is to be reached. */
export function formatTarget({ at, value }: Target, unit: Unit): string {
  return `at ${at} ${formatValue(value, unit)}`;
}

/** Returns the mark of a figure: whether it was reached. */
export function markOf({ pass }: Pick<Figure, 'pass'>): '✓' | '✗' | '·' {
  if (pass === undefined) return '·';
  return pass ? '✓' : '✗';
}

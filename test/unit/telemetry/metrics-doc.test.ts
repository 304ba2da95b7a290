// `docs/metrics.md` against the table of metrics.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { variables } from '../../../src/env.ts';
import { detailNames } from '../../../src/telemetry/fold.ts';
import { metricDescriptions } from '../../../src/telemetry/metric-descriptions.ts';
import {
  defaultNamespace,
  dimensions,
  type MetricName,
  metrics,
  metricsSwitch,
  namespacePattern,
} from '../../../src/telemetry/metric-names.ts';
import { emfFaults } from './emf-schema.ts';

const page = readFileSync(fileURLToPath(new URL('../../../docs/metrics.md', import.meta.url)), 'utf8');
const all = Object.entries(metrics);

describe('the page of metrics', () => {
  it('has a row for each metric, in the order of the table, and for no other', () => {
    const rows = page.match(/^\| `[A-Z]\w+` \| (?:Count|Milliseconds) \|.*$/gm);
    expect(rows).toEqual(
      all.map(
        ([name, { unit, kind }]) => `| \`${name}\` | ${unit} | ${kind} | ${metricDescriptions[name as MetricName]} |`,
      ),
    );
  });

  it('names no metric that does not exist', () => {
    const named = [...page.matchAll(/`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`/g)].map(([, name]) => name);
    // The last is the database's own.
    const known = new Set([...Object.keys(metrics), ...dimensions.flat(), 'DatabaseConnections']);
    expect(named.filter((name) => !known.has(name ?? ''))).toEqual([]);
  });

  it('shows a line that CloudWatch takes', () => {
    const line = /```json\n(.*\n)```/.exec(page)?.[1] ?? '';
    expect(emfFaults(line)).toEqual([]);
  });

  it('names the properties that are no metrics', () => {
    for (const name of [...detailNames, 'requestId', 'epoch']) expect(page).toContain(`\`${name}\``);
  });

  it('says how many there are at most', () => {
    expect(page).toContain(`it has all ${all.length}. At`);
    expect(page).toContain(`${(all.length * 0.3).toFixed(2)} USD per function`);
  });
});

describe('the table of metrics', () => {
  it('fits into one line', () => {
    expect(all.length).toBeLessThanOrEqual(100);
    for (const [name] of all) expect(name).toMatch(/^[A-Z][A-Za-z]+$/);
  });

  it('has times in milliseconds and all else in counts', () => {
    for (const [name, { unit, kind }] of all)
      expect([name, unit]).toEqual([name, kind === 'time' ? 'Milliseconds' : 'Count']);
  });

  it('has the switch and the namespace that the environment has', () => {
    const rule = variables.find(({ name }) => name === metricsSwitch.name)?.rule;
    expect(rule?.kind === 'word' && rule.words).toContain(metricsSwitch.value);
    expect(variables.find(({ option }) => option === 'metricsNamespace')?.default).toBe(defaultNamespace);
    expect(defaultNamespace).toMatch(namespacePattern);
  });
});

// `docs/opentelemetry.md` and `docs/datadog.md` against the tables of metrics.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { zeroCounters } from '../../../src/pool/stats.ts';
import { datadogNames, limitName } from '../../../src/telemetry/datadog-names.ts';
import { metricDescriptions } from '../../../src/telemetry/metric-descriptions.ts';
import { type MetricName, metrics } from '../../../src/telemetry/metric-names.ts';
import { otelMetricTable } from '../../../src/telemetry/otel-names.ts';

const docs = fileURLToPath(new URL('../../../docs', import.meta.url));
const page = (name: string): string => readFileSync(resolve(docs, name), 'utf8');

/** Rows of Datadog's table: reasons share one. */
function datadogRows(): string[] {
  const rows = new Map<string, string>();
  for (const [name, { name: sent, tag }] of Object.entries(datadogNames)) {
    const { kind } = metrics[name as MetricName];
    const shown = kind === 'time' ? 'distribution' : kind;
    const text = tag ? 'Connections closed, by reason' : metricDescriptions[name as MetricName];
    rows.set(sent, `| \`${sent}\` | ${shown} | ${tag ? '`reason`' : ''} | ${text} |`);
  }
  rows.set(limitName, `| \`${limitName}\` | gauge |  | \`max\`: the most connections there may be |`);
  return [...rows.values()];
}

function otelRows(): string[] {
  return Object.entries(otelMetricTable).map(
    ([name, { unit, kind, attribute, description }]) =>
      `| \`${name}\` | \`${unit}\` | ${kind} | ${attribute ? `\`${attribute}\`` : ''} | ${description} |`,
  );
}

describe.each([
  ['opentelemetry.md', otelRows],
  ['datadog.md', datadogRows],
] as const)('%s', (name, rows) => {
  it('has a row for each metric, in the order of the table, and for no other', () => {
    const [, section = ''] = page(name).split('\n## Metrics\n');
    const [table = ''] = section.split('\n## ');
    expect(table.match(/^\| `.*$/gm)).toEqual(rows());
  });

  it('names no metric that does not exist', () => {
    const named = [...page(name).matchAll(/`(?:sum:)?((?:thawpool|db\.client)\.[a-z_.]+)/g)].map(
      ([, metric]) => metric ?? '',
    );
    const known = [
      ...Object.keys(otelMetricTable),
      ...Object.values(otelMetricTable).map(({ attribute }) => attribute),
      ...Object.values(datadogNames).map((metric) => metric.name),
      ...[limitName, 'thawpool.acquire', 'thawpool.connect', 'thawpool.validate'],
      ...['db.client.connection.pool.name', 'db.client.operation.duration'],
    ];
    expect(named.filter((metric) => !known.includes(metric))).toEqual([]);
    expect(named.length).toBeGreaterThan(20);
  });

  it('names every reason', () => {
    const reasons = Object.keys(zeroCounters().destroyed).map((reason) => `\`${reason}\``);
    expect(page(name).replaceAll('\n  ', ' ')).toContain(`is one of ${reasons.join(', ')}`);
  });

  it('has links that lead somewhere', () => {
    const links = [...page(name).matchAll(/\]\((?!https?:)([^)]*)\)/g)].map(([, link = '']) => link);
    const anchors = [...page(name).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
      heading.toLowerCase().replaceAll(' ', '-'),
    );
    for (const link of links) {
      if (link.startsWith('#')) expect(anchors).toContain(link.slice(1));
      else expect(existsSync(resolve(dirname(resolve(docs, name)), link)), link).toBe(true);
    }
  });

  it('is named in the README and beside the metrics', () => {
    expect(page('../README.md')).toContain(`(docs/${name})`);
    expect(page('metrics.md')).toContain(`(${name})`);
  });
});

it('datadog.md says how many metrics there are at most', () => {
  const all = Object.values(datadogNames).length + 1;
  const names = new Set(Object.values(datadogNames).map(({ name }) => name)).size + 1;
  expect(page('datadog.md').replaceAll('\n', ' ')).toContain(
    `function and pool have ${all} at most: ${names} names, one of them by seven reasons`,
  );
});

it('opentelemetry.md says how many series there are at most', () => {
  const by: Record<string, number> = {
    'db.client.connection.state': 2,
    'thawpool.outcome': 2,
    'thawpool.kind': 3,
    'thawpool.reason': Object.keys(zeroCounters().destroyed).length,
  };
  const all = Object.values(otelMetricTable);
  const series = all
    .filter(({ kind }) => kind !== 'histogram')
    .reduce((sum, { attribute }) => sum + (attribute === undefined ? 1 : (by[attribute] ?? Number.NaN)), 0);
  const histograms = all.filter(({ kind }) => kind === 'histogram').length;
  expect(page('opentelemetry.md').replaceAll('\n  ', ' ')).toContain(
    `a pool has ${series} series at most besides its ${histograms} histograms`,
  );
});

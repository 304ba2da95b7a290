/** The soak's command line: `npm run soak -- --minutes N`. */
import { parseArgs } from 'node:util';
import { type Books, type SoakReport, soak } from './soak.ts';

const HELP = `Runs one sandbox through random work and random faults, and looks for what should not be: an invocation
that fails without a reason, a write that is there twice, a socket, handle, timer or session that stays, a heap that grows.

  npm run soak -- [--minutes N] [--seed S] [--json]

Options
  --minutes N    how long (default: 1)
  --seed S       which work and which faults; the report names it (default: by the clock)
  --json         prints one JSON document; progress goes to standard error
  --help

The status is 1 when something was found.`;

const MINUTE_MILLIS = 60_000;
/** Where nothing can be overwritten, a line this often. */
const LINE_MILLIS = 10_000;
const MEGABYTE = 2 ** 20;

const sum = (counts: ReadonlyMap<string, number>): number => [...counts.values()].reduce((total, n) => total + n, 0);

function line({ invocations, ok, faults, legitimate, illegitimate }: Books, millis: number): string {
  const seconds = (millis / 1000).toFixed(0);
  return `${seconds} s: ${invocations} invocations, ${ok} answered, ${sum(faults)} faults, ${sum(legitimate)} failed by a fault or on purpose, ${illegitimate.length} failed without a reason`;
}

/** Shows the sums while they grow. */
function progress(output: NodeJS.WriteStream): { show(books: Books): void; close(): void } {
  const began = performance.now();
  let shown = began;
  const rich = output.isTTY;
  return {
    show(books) {
      const now = performance.now();
      if (!rich && now - shown < LINE_MILLIS) return;
      shown = now;
      output.write(
        rich ? `\r\x1b[2K${line(books, now - began).slice(0, output.columns - 1)}` : `${line(books, now - began)}\n`,
      );
    },
    close: () => void (rich && output.write('\r\x1b[2K')),
  };
}

function list(title: string, counts: ReadonlyMap<string, number>): string {
  const lines = [...counts].toSorted(([, a], [, b]) => b - a).map(([name, n]) => `  ${String(n).padStart(6)}  ${name}`);
  return [`\n${title}`, ...(lines.length > 0 ? lines : ['  none'])].join('\n');
}

function problems(title: string, found: readonly string[]): string {
  return found.length === 0
    ? `\n${title}: none`
    : `\n${title}: ${found.length}\n${found.map((each) => `  ${each}`).join('\n')}`;
}

function text(report: SoakReport): string {
  const { start, end, outside } = report;
  const megabytes = (bytes: number) => (bytes / MEGABYTE).toFixed(1);
  return [
    `Seed ${report.seed}, Node ${report.node}, PostgreSQL ${report.postgres}.`,
    line(report, report.millis),
    list('Requests', report.requests),
    list('Faults', report.faults),
    list('Failed by a fault or on purpose', report.legitimate),
    list('Warnings', report.warnings),
    `\nAt the end: ${end.stats.total} connections in the pool, ${outside.sockets.length} sockets, ${outside.sessions} sessions at the server`,
    `Handles: ${start.handles} at the start, ${end.handles} at the end`,
    `Heap after a collection: ${megabytes(start.heapUsed)} MB at the start, ${megabytes(end.heapUsed)} MB at the end; each minute: ${report.heap.map(megabytes).join(', ')}`,
    `Resident: ${megabytes(start.rss)} MB at the start, ${megabytes(end.rss)} MB at the end`,
    problems('Failed without a reason', report.illegitimate),
    problems('Written too often, or not at all', report.miscounted),
    problems('Leaks', report.leaks),
    report.starts > 1 ? `\nThe sandbox was started ${report.starts} times.` : '',
  ].join('\n');
}

const json = (report: SoakReport): string =>
  JSON.stringify(report, (_key, value: unknown) => (value instanceof Map ? Object.fromEntries(value) : value), 2);

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '1' },
      seed: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(`${HELP}\n`);
    return;
  }
  const minutes = Number(values.minutes);
  const seed = Number(values.seed ?? Date.now() % 1_000_000);
  if (!(minutes > 0)) throw new Error(`--minutes must be a number above 0, got "${values.minutes}".`);
  if (!Number.isInteger(seed)) throw new Error(`--seed must be a whole number, got "${values.seed}".`);
  const shown = progress(values.json ? process.stderr : process.stdout);
  const report = await soak({ millis: minutes * MINUTE_MILLIS, seed, onRound: shown.show }).finally(shown.close);
  process.stdout.write(`${values.json ? json(report) : text(report)}\n`);
  const found = report.illegitimate.length + report.miscounted.length + report.leaks.length;
  if (found > 0 || report.starts > 1) process.exitCode = 1;
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 2;
}

/** The demo's command line: `npm run demo`. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { figuresOf, type SubjectFigures, sentencesOf } from './figures.ts';
import { htmlReport } from './html.ts';
import type { Recording } from './model.ts';
import { isRich, painter, showProgress } from './progress.ts';
import { runDemo, subjects } from './run.ts';
import { tableOf, tableText } from './table.ts';
import { timelineSvg } from './timeline.ts';

const REPORTS = join(import.meta.dirname, '..', '..', '..', 'reports');

const HELP = `Runs the sample order service in a Lambda in miniature, on thawpool and on a plain pg.Pool side by side:
cold start, warm, and with connections that are killed, reset, black-holed and restarted while the sandbox is frozen.

  npm run demo                 live progress, a table, and reports/demo.html with the timeline as a picture
  npm run demo -- --json       prints the figures as one JSON document instead; progress goes to standard error
  npm run demo -- --help

It takes under a minute. PostgreSQL is started for it, or taken from DATABASE_URL (then it is not restarted).
The status is 1 when an invocation on thawpool has failed. The plain pool may fail: that is the contrast.`;

function wrap(text: string, width: number): string {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1) ?? '';
    if (line !== '' && line.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return lines.join('\n');
}

function printJson(recording: Recording, figures: readonly SubjectFigures[]): void {
  const { postgres, node, freezeMillis, timeoutMillis, durationMillis } = recording;
  const { name, version } = recording.runtimeClient;
  const runtimeClient = { name, version };
  const facts = { runtimeClient, postgres, node: node.replace(/^v/, ''), freezeMillis, timeoutMillis, durationMillis };
  const summary = sentencesOf(recording, figures);
  process.stdout.write(`${JSON.stringify({ ...facts, subjects: figures, summary }, null, 2)}\n`);
}

async function writeReports(recording: Recording, figures: readonly SubjectFigures[]): Promise<string> {
  await mkdir(REPORTS, { recursive: true });
  const svg = timelineSvg(recording);
  const file = join(REPORTS, 'demo.html');
  await writeFile(join(REPORTS, 'demo-timeline.svg'), svg);
  await writeFile(file, htmlReport(recording, figures, svg));
  return file;
}

async function report(recording: Recording, figures: readonly SubjectFigures[]): Promise<void> {
  const { bold, green, red } = painter(isRich(process.stdout));
  const width = Math.min(100, (process.stdout.columns || 100) - 1);
  const print = (text: string) => process.stdout.write(`${text}\n`);
  print(`\n${tableText(tableOf(figures), { heading: bold, good: green, bad: red })}\n`);
  for (const sentence of sentencesOf(recording, figures)) print(wrap(sentence, width));
  const file = await writeReports(recording, figures);
  print(`\nThe report, with the timeline as a picture: ${relative(process.cwd(), file)}`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { json: { type: 'boolean', default: false }, help: { type: 'boolean', default: false } },
  });
  if (values.help) {
    process.stdout.write(`${HELP}\n`);
    return;
  }
  const progress = showProgress(values.json ? process.stderr : process.stdout, subjects);
  process.stdout.once('error', () => process.exit(141)); // `| head` reads no further: 128 and SIGPIPE's number.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      progress.close();
      // Server and sandboxes are guarded: they end, and their folders go, as soon as this process has ended.
      process.exit(signal === 'SIGINT' ? 130 : 143); // 128 and the signal's number, as shells have it.
    });
  }
  let recording: Recording;
  try {
    recording = await runDemo(progress);
  } finally {
    progress.close();
  }
  const figures = figuresOf(recording);
  if (values.json) printJson(recording, figures);
  else await report(recording, figures);
  if (figures.some(({ name, failures }) => name === 'thawpool' && failures > 0)) process.exitCode = 1;
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 2;
}

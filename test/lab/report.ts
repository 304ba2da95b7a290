/** Shows what scenarios have come to: lines for people, one document for programs, a chapter for the documentation. */
import { readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { TraceLine } from './chaos-proxy.ts';
import type { RuntimeClient } from './find-runtime-client.ts';
import type { ScenarioReport } from './run-scenario.ts';
import type { Scenario, ScenarioInvocation } from './scenarios/scenario.ts';

/** What the lab was made of. */
export interface LabFacts {
  readonly runtimeClient: RuntimeClient;
  readonly postgres: string;
  readonly node: string;
}

function clientText({ name, version, why }: RuntimeClient): string {
  if (name === 'aws-lambda-ric') return `aws-lambda-ric ${version}`;
  return `small client, modelled on aws-lambda-ric ${version}${why ? ` (${why})` : ''}`;
}

function countsText(counts: Readonly<Record<string, number>>): string {
  const words = Object.entries(counts).map(([name, count]) => (count === 1 ? name : `${name} ×${count}`));
  return words.join(', ') || 'nothing';
}

function invocationText({ label, result, wire }: ScenarioInvocation): string {
  const millis = `${result.durationMillis.toFixed(1)} ms`.padStart(11);
  const sent = `sent ${countsText(wire.frontend)}`;
  const error = result.error ? `  ${result.error.errorMessage.split('\n')[0]}` : '';
  return `  ${label.padEnd(26)}${result.outcome.padEnd(8)}${millis}  ${sent}${error}`;
}

function traceText(trace: readonly TraceLine[]): string[] {
  const from = trace[0]?.at ?? 0;
  return trace.map(({ at, connection, text }) => `  ${String(at - from).padStart(7)} ms  #${connection}  ${text}`);
}

/** Prints the facts, and returns what prints one report after the other. */
export function printReport(facts: LabFacts): (report: ScenarioReport) => void {
  const print = (line: string) => process.stdout.write(`${line}\n`);
  print(`Runtime client: ${clientText(facts.runtimeClient)}. PostgreSQL ${facts.postgres}. Node ${facts.node}.`);
  return ({ subject, scenario, verdict, why, outcome, trace, output }) => {
    print(`\n${scenario.name}: ${scenario.title}\n  subject: ${subject.name} (${subject.title})`);
    for (const invocation of outcome.invocations) print(invocationText(invocation));
    for (const [name, value] of Object.entries(outcome.figures ?? {})) print(`  ${name}: ${value}`);
    for (const line of traceText(trace)) print(line);
    if (trace.length > 0 && output !== '') print(output.trimEnd().replaceAll(/^/gm, '  | '));
    print(`  rule: ${scenario.rule}\n  ${verdict.toUpperCase()}: ${why}`);
  };
}

/** Puts facts and reports into one plain object. */
export function toJson(facts: LabFacts, reports: readonly ScenarioReport[]): unknown {
  const { name, version, why } = facts.runtimeClient;
  return {
    runtimeClient: { name, version, ...(why !== undefined && { why }) },
    postgres: facts.postgres,
    node: facts.node,
    runs: reports.map(({ subject, scenario, outcome, trace, ...rest }) => ({
      subject: subject.name,
      scenario: scenario.name,
      title: scenario.title,
      rule: scenario.rule,
      verdict: rest.verdict,
      why: rest.why,
      invocations: outcome.invocations.map(({ label, event, result, wire }) => ({
        label,
        event,
        outcome: result.outcome,
        durationMillis: result.durationMillis,
        ...(result.error && { error: result.error.errorMessage }),
        opened: wire.opened,
        frontend: wire.frontend,
        backend: wire.backend,
      })),
      figures: outcome.figures ?? {},
      ...(trace.length > 0 && { trace }),
    })),
  };
}

const BEGIN = '<!-- generated: begin -->';
const END = '<!-- generated: end -->';
const MARKS = { pass: '✓', fail: '✗', skip: '–' } as const;
const DRIVERS = ['pg', 'postgres', 'serverless-postgres', '@middy/core'] as const;

/** A package's version, also of one that does not export its manifest. */
async function versionOf(name: string): Promise<string> {
  const { resolve } = createRequire(import.meta.url);
  const start = name.startsWith('@') ? import.meta.resolve(name).replace('file://', '') : resolve(name);
  for (let folder = dirname(start); folder !== dirname(folder); folder = dirname(folder)) {
    const text = await readFile(join(folder, 'package.json'), 'utf8').catch(() => '{}');
    const manifest = JSON.parse(text) as { name?: string; version?: string };
    if (manifest.name === name && manifest.version !== undefined) return manifest.version;
  }
  throw new Error(`${name} has no version.`);
}

/** The verdict's reason without what differs from run to run, and with the error that ended a process. */
function wordsOf({ why, output }: ScenarioReport): string {
  const thrown = /^\w*[Ee]rror: .+$/m.exec(output)?.[0];
  return (why.split('\n')[0] ?? '')
    .replaceAll(/RequestId: \S+ Error: /g, '')
    .replace(/Runtime exited with.*/, thrown === undefined ? 'the process ended' : `the process ended on "${thrown}"`)
    .replaceAll(/127\.0\.0\.1:\d+/g, 'the server')
    .replaceAll('|', '\\|');
}

function byScenario(reports: readonly ScenarioReport[]): [Scenario, ScenarioReport[]][] {
  const all = [...new Set(reports.map(({ scenario }) => scenario))];
  return all.map((scenario) => [scenario, reports.filter((report) => report.scenario === scenario)]);
}

function matrix(reports: readonly ScenarioReport[]): string[] {
  const names = [...new Set(reports.map(({ subject }) => subject.name))];
  const lines = [`| scenario | ${names.join(' | ')} |`, `|---|${names.map(() => ':-:|').join('')}`];
  for (const [scenario, runs] of byScenario(reports)) {
    const cells = names.map((name) => MARKS[runs.find(({ subject }) => subject.name === name)?.verdict ?? 'skip']);
    lines.push(`| [${scenario.title}](#${scenario.name}) | ${cells.join(' | ')} |`);
  }
  return lines;
}

function chapters(reports: readonly ScenarioReport[]): string[] {
  return byScenario(reports).flatMap(([scenario, runs]) => [
    '',
    `### ${scenario.name}`,
    '',
    `Rule: ${scenario.rule}`,
    '',
    '| subject | | what happened |',
    '|---|:-:|---|',
    ...runs.map((run) => `| ${run.subject.name} | ${MARKS[run.verdict]} | ${wordsOf(run)} |`),
    '',
    `\`npm run lab -- --scenario ${scenario.name}${runs.map(({ subject }) => ` --subject ${subject.name}`).join('')}\``,
  ]);
}

/**
 * Writes the reports as tables between the marks in `file`, and leaves what is around them.
 *
 * @throws When the file has no marks.
 */
export async function writeMarkdown(file: string, facts: LabFacts, reports: readonly ScenarioReport[]): Promise<void> {
  const text = await readFile(file, 'utf8');
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`${file} must have the lines "${BEGIN}" and "${END}".`);
  const drivers = await Promise.all(DRIVERS.map(async (name) => `${name} ${await versionOf(name)}`));
  const made = [
    BEGIN,
    '',
    `Runtime client: ${clientText(facts.runtimeClient)}. PostgreSQL ${facts.postgres}. Node ${facts.node}. ${drivers.join(', ')}.`,
    '',
    '✓ the rule was kept · ✗ it was not · – the subject cannot be asked for this',
    '',
    ...matrix(reports),
    '',
    '## Scenario by scenario',
    ...chapters(reports),
    '',
    END,
  ];
  await writeFile(file, text.slice(0, begin) + made.join('\n') + text.slice(end + END.length));
}

/** The lab's command line: `npm run lab -- --subject NAME --scenario NAME`. */
import { parseArgs } from 'node:util';
import { startPostgres } from '../support/postgres.ts';
import { type ClientChoice, findRuntimeClient } from './find-runtime-client.ts';
import { type LabFacts, printReport, toJson, writeMarkdown } from './report.ts';
import { runScenario, type ScenarioReport } from './run-scenario.ts';
import { findScenario, scenarios } from './scenarios/index.ts';
import type { Scenario } from './scenarios/scenario.ts';
import { findSubject, type Subject, subjects } from './subjects/index.ts';

const list = (named: readonly { name: string; title: string }[]) =>
  named.map(({ name, title }) => `  ${name.padEnd(38)}${title}`).join('\n');

const HELP = `Runs handlers in a Lambda in miniature, breaks their connections, and judges what becomes of it.

  npm run lab -- --subject NAME --scenario NAME
  npm run lab -- --all                             every scenario; every subject, unless --subject names one

Options
  --subject NAME                 may be given several times (default: thawpool)
  --scenario NAME                may be given several times
  --all                          all scenarios
  --client auto|aws|small        the runtime client (default: auto, AWS's own where it is installed)
  --trace                        prints every protocol message, and what the sandbox wrote
  --json                         prints one JSON document instead
  --markdown FILE                writes the tables into that file, between its marks
  --help

Subjects
${list(subjects)}

Scenarios
${list(scenarios)}

The status is 1 when thawpool fails a scenario. Other subjects may fail: that is what they are there to show.`;

interface Plan {
  readonly subjects: readonly Subject[];
  readonly scenarios: readonly Scenario[];
  readonly client: ClientChoice;
  readonly trace: boolean;
  readonly json: boolean;
  readonly markdown: string | undefined;
}

function isClient(value: string): value is ClientChoice {
  return ['auto', 'aws', 'small'].includes(value);
}

/** Returns what to do, or `undefined` when help was asked for. */
function plan(args: string[]): Plan | undefined {
  const { values } = parseArgs({
    args,
    options: {
      subject: { type: 'string', multiple: true },
      scenario: { type: 'string', multiple: true },
      all: { type: 'boolean', default: false },
      client: { type: 'string', default: 'auto' },
      trace: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      markdown: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  if (!isClient(values.client)) throw new Error(`There is no client "${values.client}". Known: auto, aws, small.`);
  if (!values.all && !values.scenario) throw new Error('Name a --scenario, or use --all. --help lists them.');
  return {
    subjects: values.subject?.map(findSubject) ?? (values.all ? subjects : [findSubject('thawpool')]),
    scenarios: values.scenario?.map(findScenario) ?? scenarios,
    client: values.client,
    trace: values.trace,
    json: values.json,
    markdown: values.markdown,
  };
}

async function runAll({ trace, json, markdown, ...todo }: Plan): Promise<readonly ScenarioReport[]> {
  const runtimeClient = findRuntimeClient(todo.client);
  const postgres = await startPostgres();
  try {
    const facts: LabFacts = { runtimeClient, postgres: postgres.version, node: process.version };
    const reports: ScenarioReport[] = [];
    const print = json ? undefined : printReport(facts);
    for (const scenario of todo.scenarios) {
      for (const subject of todo.subjects) {
        const report = await runScenario(scenario, subject, { postgres, runtimeClient, trace });
        reports.push(report);
        print?.(report);
      }
    }
    if (json) process.stdout.write(`${JSON.stringify(toJson(facts, reports), null, 2)}\n`);
    if (markdown !== undefined) await writeMarkdown(markdown, facts, reports);
    return reports;
  } finally {
    await postgres.close();
  }
}

async function main(): Promise<void> {
  const todo = plan(process.argv.slice(2));
  if (todo === undefined) {
    process.stdout.write(`${HELP}\n`);
    return;
  }
  const reports = await runAll(todo);
  if (reports.some(({ subject, verdict }) => subject.name === 'thawpool' && verdict === 'fail')) process.exitCode = 1;
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 2;
}

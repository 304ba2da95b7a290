// `npm run mutation`: changes the decisions one operator, literal or branch at a time and runs their unit tests, of which
// one must fail each time. A change that makes no difference is named where it is: `// Stryker disable next-line NAME: why`.
import { globSync, readFileSync } from 'node:fs';

/** The lines of one top-level function, in Stryker's notation. */
function linesOf(file, name) {
  const lines = readFileSync(file, 'utf8').split('\n');
  const first = lines.findIndex((line) => line.startsWith(`export function ${name}(`));
  const last = lines.indexOf('}', first);
  if (first === -1 || last === -1) throw new Error(`There is no function ${name} in ${file}.`);
  return `${file}:${first + 1}-${last + 1}`;
}

// An exception is for one line and one kind of change, and has a reason.
for (const file of globSync('src/**/*.ts')) {
  for (const [comment] of readFileSync(file, 'utf8').matchAll(/Stryker (disable|restore).*/g)) {
    if (/^Stryker disable next-line (?!all\b)\w+: \S/.test(comment)) continue;
    throw new Error(`${file}: "${comment}" is not of the form "Stryker disable next-line NAME: why".`);
  }
}

export default {
  mutate: [
    'src/pool/{clock,policy,waiters}.ts',
    'src/lambda/{deadline,freeze-gap}.ts',
    'src/pg/{direct-tls,no-backend,pgbouncer,route,sqlstate,statement-cache,statement-error,ways}.ts',
    linesOf('src/pg/transaction.ts', 'judgeTransactionError'),
  ],
  thresholds: { high: 100, low: 100, break: 100 },
  plugins: ['@stryker-mutator/vitest-runner'],
  testRunner: 'vitest',
  vitest: { configFile: 'test/mutation/vitest.config.ts' },
  // What is copied. Not tsconfig.json: Stryker would rewrite it, with an interface that TypeScript 7 does not have.
  ignorePatterns: ['**', '!src/**', '!test/{unit,support,mutation}/**', '!docs/*.md', '!package.json'],
  disableTypeChecks: false,
  tempDirName: 'reports/mutation/copies',
  reporters: ['clear-text', 'html'],
  clearTextReporter: { reportTests: false, skipFull: false },
  htmlReporter: { fileName: 'reports/mutation/index.html' },
  allowConsoleColors: process.stdout.isTTY === true,
};

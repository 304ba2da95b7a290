import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

const inCI = Boolean(process.env['CI']);

/** Vitest leaves one core out. */
const cores = availableParallelism();

/** `thawpool`, `thawpool/core` and `thawpool/middy` are the sources in every test; test/package looks at what is built. */
const source = '@thawpool/source';

interface Project {
  /** Milliseconds for one test, and for one hook. They end what hangs, and nothing that is merely slow. */
  readonly timeouts: readonly [test: number, hook: number];
  /** Groups run one after the other, from 1 (Vitest runs group 0 last): real processes get the machine to themselves. */
  readonly group: number;
  /** Files at the same time. @default as many as there are cores */
  readonly maxWorkers?: number;
  readonly globalSetup?: string;
  readonly setupFiles?: string;
  /** The files. @default those of the project's folder in test/ */
  readonly include?: string;
}

/** Each must be there, and every branch of it run; test/mutation has the same list, and more to ask. */
const decisions = [
  ...['clock', 'policy', 'waiters'].map((name) => `src/pool/${name}.ts`),
  ...['deadline', 'freeze-gap'].map((name) => `src/lambda/${name}.ts`),
  ...['direct-tls', 'no-backend', 'pgbouncer', 'route', 'sqlstate', 'statement-cache', 'statement-error', 'ways'].map(
    (name) => `src/pg/${name}.ts`,
  ),
];

const projects: Readonly<Record<string, Project>> = {
  unit: { timeouts: [60_000, 60_000], group: 1 },
  infra: { timeouts: [120_000, 240_000], group: 2, setupFiles: './test/infra/support/temporary-folder.ts' },
  // These two wait for servers more than they compute.
  integration: {
    timeouts: [60_000, 120_000],
    group: 3,
    maxWorkers: cores + 1,
    globalSetup: './test/support/global-postgres.ts',
  },
  examples: {
    timeouts: [60_000, 120_000],
    group: 3,
    maxWorkers: cores + 1,
    globalSetup: './test/support/global-postgres.ts',
    setupFiles: './test/support/example-environment.ts',
    include: 'examples/**/*.test.ts',
  },
  package: { timeouts: [120_000, 240_000], group: 4, globalSetup: './test/package/global-packed.ts' },
  lab: { timeouts: [120_000, 120_000], group: 5, maxWorkers: 1 },
  freeze: { timeouts: [120_000, 120_000], group: 6, maxWorkers: 1 },
};

export default defineConfig({
  // Beside Vite's own conditions for a server. Node gets the second list for what it loads itself, require() included:
  // a condition such as "import" there would hand ES modules to pg's require().
  resolve: { conditions: [source, 'module', 'node', 'development'] },
  ssr: {
    resolve: {
      // Vitest hands these to Node's own loader, which cannot load what the AWS SDK has for "module".
      conditions: [source, 'node', 'development'],
      externalConditions: [source, 'node', 'module-sync'],
    },
  },
  test: {
    passWithNoTests: true,
    // A test that passes at the second try has found something.
    retry: 0,
    // Vitest's own 1000 ms is less than a loaded machine may take for anything.
    expect: { poll: { timeout: 30_000 } },
    reporters: inCI ? ['default', ['json', { outputFile: 'reports/tests.json' }]] : ['default'],
    coverage: {
      include: ['src/**/*.ts'],
      reportsDirectory: 'coverage',
      // The pure decisions; `npm run mutation` asks the same of their tests and more.
      thresholds: Object.fromEntries(decisions.map((file) => [file, { branches: 100 }])),
    },
    projects: [
      ...Object.entries(projects).map(([name, { timeouts, group, maxWorkers = cores, include, ...setup }]) => ({
        extends: true as const,
        test: {
          name,
          include: [include ?? `test/${name}/**/*.test.ts`],
          testTimeout: timeouts[0],
          hookTimeout: timeouts[1],
          teardownTimeout: 30_000,
          maxWorkers,
          sequence: { groupOrder: group },
          ...setup,
        },
      })),
      {
        extends: true,
        test: {
          name: 'types',
          include: [],
          sequence: { groupOrder: 7 },
          typecheck: {
            enabled: true,
            only: true,
            include: ['test/types/**/*.test-d.ts'],
            tsconfig: './test/types/tsconfig.json',
            checker: 'tsc',
          },
        },
      },
    ],
  },
});

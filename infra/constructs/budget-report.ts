/** Adds up connections and says what to do when they are too many. Pure: what is known of functions and server comes in as numbers. */

/** One function, or all those that share what the account has left. */
export interface BudgetLine {
  readonly name: string;
  /** Sandboxes there can be at the same time. */
  readonly sandboxes: number;
  /** Connections of each pool. */
  readonly max: number;
  /** Pools in each sandbox: the worker threads of a Managed Instance, else 1. */
  readonly workers: number;
  /** Limit over all workers of a sandbox, where one is set. */
  readonly perSandbox?: number | undefined;
}

/** A proxy, and how many of the server's connections it may take. */
export interface ProxyLine {
  readonly name: string;
  readonly percent: number;
}

/** What a server takes, and who wants some of it. */
export interface Budget {
  readonly maxConnections: number;
  readonly source: string;
  readonly reserve: number;
  readonly lines: readonly BudgetLine[];
  readonly proxies: readonly ProxyLine[];
}

const inSandbox = ({ max, workers, perSandbox = Number.POSITIVE_INFINITY }: BudgetLine): number =>
  Math.min(max * workers, perSandbox);

/** How many connections a function can have at once. */
export const connectionsOf = (line: BudgetLine): number => line.sandboxes * inSandbox(line);

/** How many connections a proxy can have at once. */
const share = (budget: Budget, { percent }: ProxyLine): number => Math.floor((budget.maxConnections * percent) / 100);

const sum = (numbers: readonly number[]): number => numbers.reduce((total, next) => total + next, 0);

/** How many connections functions and proxies can have at once, together. */
export const wanted = (budget: Budget): number =>
  sum(budget.lines.map(connectionsOf)) + sum(budget.proxies.map((proxy) => share(budget, proxy)));

/** How many there is room for. */
export const room = ({ maxConnections, reserve }: Budget): number => Math.max(0, maxConnections - reserve);

/** Says what does not fit and the ways out, with numbers; nothing when everything fits. */
export function explainOverBudget(budget: Budget): string | undefined {
  const over = wanted(budget) - room(budget);
  if (over <= 0) return undefined;
  return [
    `Together these can open ${wanted(budget)} connections, and the server has room for ${room(budget)}: ${over} too many.`,
    '',
    ...table(budget),
    '',
    'Ways out:',
    ...waysOut(budget).map((way) => `- ${way}`),
  ].join('\n');
}

function table(budget: Budget): string[] {
  const rows = [
    ...budget.lines.map((line): [string, string, number] => [line.name, factors(line), connectionsOf(line)]),
    ...budget.proxies.map((proxy): [string, string, number] => [
      proxy.name,
      `${proxy.percent} % of ${budget.maxConnections}`,
      share(budget, proxy),
    ]),
    ['together', '', wanted(budget)] as [string, string, number],
    ['max_connections', budget.source, budget.maxConnections] as [string, string, number],
    ['kept free', 'reserve', budget.reserve] as [string, string, number],
  ];
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => row[column as 0 | 1].length)));
  const digits = Math.max(...rows.map(([, , number]) => String(number).length));
  return rows.map(
    ([name, how, number]) =>
      `  ${name.padEnd(widths[0] ?? 0)}  ${how.padEnd(widths[1] ?? 0)}  ${String(number).padStart(digits)}`,
  );
}

function factors(line: BudgetLine): string {
  const { sandboxes, max, workers } = line;
  const each = inSandbox(line) < max * workers ? `${inSandbox(line)} per sandbox` : `THAWPOOL_MAX ${max}`;
  const threads = workers > 1 && inSandbox(line) === max * workers ? ` × ${workers} workers` : '';
  return `${sandboxes} × ${each}${threads}`;
}

function waysOut(budget: Budget): string[] {
  const left = room(budget) - sum(budget.proxies.map((proxy) => share(budget, proxy)));
  // Without the functions it would still be too much, or there are none.
  if (left <= 0) return lessProxy(budget);
  return [lessConcurrency(budget, left), lessMax(budget, left), behindProxy(budget)];
}

function lessConcurrency(budget: Budget, left: number): string {
  const lines = budget.lines.filter(({ sandboxes }) => sandboxes > 0);
  const total = sum(lines.map(connectionsOf));
  const fitting = lines.map((line) => ({ line, sandboxes: Math.floor((line.sandboxes * left) / total) }));
  if (fitting.some(({ sandboxes }) => sandboxes < 1)) {
    return 'Fewer sandboxes alone are not enough: there would not be one for each function.';
  }
  const each = fitting.map(({ line, sandboxes }) => `${sandboxes} for ${line.name}`);
  return `reservedConcurrentExecutions: ${each.join(', ')}.`;
}

function lessMax({ lines }: Budget, left: number): string {
  const needed = (max: number): number =>
    sum(lines.map((line) => connectionsOf({ ...line, max: Math.min(max, line.max) })));
  const most = Math.max(...lines.map((line) => line.max));
  for (let max = most; max >= 1; max -= 1) {
    if (needed(max) <= left) return `THAWPOOL_MAX=${max}: that makes ${needed(max)}.`;
  }
  return `THAWPOOL_MAX=1 is not enough by itself: that makes ${needed(1)}.`;
}

function behindProxy(budget: Budget): string {
  const [proxy, ...others] = budget.proxies;
  const free = room(budget) - sum(others.map((other) => share(budget, other)));
  const percent = Math.floor((100 * free) / budget.maxConnections);
  const which = proxy === undefined ? 'a PooledDatabaseProxy, registered with registerProxy()' : proxy.name;
  return `The functions behind ${which}: they do not count then. It may have maxConnectionsPercent: ${percent}.`;
}

function lessProxy(budget: Budget): string[] {
  const free = room(budget) - sum(budget.lines.map(connectionsOf));
  const percent = Math.floor((100 * free) / budget.maxConnections / budget.proxies.length);
  // Without a proxy this is -Infinity: the functions are too many, and there is room for none.
  if (percent < 1) return [`A bigger server, or a smaller reserve than ${budget.reserve}.`];
  return [`maxConnectionsPercent: ${percent} for ${budget.proxies.map(({ name }) => name).join(' and ')}.`];
}

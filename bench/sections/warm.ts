/** A warm invocation: what the middleware and the wrapper add to one query, in time and in protocol messages. */
import { startChaosProxy } from '../../test/lab/chaos-proxy.ts';
import type { TestPostgres } from '../../test/support/postgres.ts';
import { cacheEnv, hasStatementCache } from '../cache.ts';
import { type Child, startChild } from '../child.ts';
import type { Context, Section } from '../context.ts';
import { type Measured, ratioFigure, type Spec, seriesOf } from '../measure.ts';
import type { Figure, Role } from '../model.ts';
import { exactly, figure } from '../verdict.ts';

interface Way {
  readonly name: string;
  readonly role: Role;
  readonly handler: string;
  readonly cache?: boolean;
}

const BARE = 'bare pg.Client';
const BARE_MIDDY = 'bare pg.Client behind Middy';

const WAYS: readonly Way[] = [
  { name: BARE, role: 'floor', handler: 'bare' },
  { name: BARE_MIDDY, role: 'floor', handler: 'bare behind Middy' },
  { name: 'withPool', role: 'ours', handler: 'withPool' },
  { name: 'pgPool() behind Middy', role: 'ours', handler: 'middy' },
  ...(hasStatementCache
    ? ([
        { name: 'withPool, statement cache', role: 'ours', handler: 'withPool', cache: true },
        { name: 'pgPool() behind Middy, statement cache', role: 'ours', handler: 'middy', cache: true },
      ] as const)
    : []),
];

async function start(connectionString: string, { handler, cache = false }: Way): Promise<Child> {
  const child = await startChild('warm', { env: { DATABASE_URL: connectionString, ...cacheEnv(cache) } });
  await child.call('open', handler);
  return child;
}

/** Invocations one after the other; `count` of them make a round, and this share of them is over within its value. */
export function warmSpec(postgres: TestPostgres, count: number, share = 0.5): Spec {
  return {
    id: 'warm',
    title: 'warm invocation with one query: median',
    unit: 'µs',
    reference: BARE,
    subjects: WAYS.map((way) => ({
      name: way.name,
      role: way.role,
      async start() {
        const child = await start(postgres.connectionString, way);
        return { round: () => child.call('latency', count, share), close: () => child.close() };
      },
    })),
  };
}

const MESSAGES_OVER = 100;

/** Counts what the client says in a warm invocation. */
async function messagesOf(way: Way, postgres: TestPostgres): Promise<number> {
  await using proxy = await startChaosProxy({ targetHost: postgres.host, targetPort: postgres.port });
  const url = Object.assign(new URL(postgres.connectionString), { port: String(proxy.port) });
  const child = await start(url.toString(), way);
  const before = proxy.snapshot();
  await child.call('latency', MESSAGES_OVER, 0.5);
  const { frontend } = proxy.since(before);
  await child.close();
  return Object.values(frontend).reduce((sum, count) => sum + count, 0) / MESSAGES_OVER;
}

async function messageFigures(postgres: TestPostgres): Promise<Figure[]> {
  const counts = new Map<string, number>();
  for (const way of WAYS) counts.set(way.name, await messagesOf(way, postgres));
  const bare = counts.get(BARE) ?? 0;
  return WAYS.filter(({ role }) => role === 'ours').map(({ name }) =>
    figure(
      `warm.messages.${name}`,
      `warm invocation, ${name}: messages beyond the handler’s own`,
      'count',
      exactly((counts.get(name) ?? 0) - bare),
      { at: 'most', value: 0 },
    ),
  );
}

function timeFigures({ samples }: Measured): Figure[] {
  const of = (name: string) => seriesOf(samples, name);
  return WAYS.filter(({ role }) => role === 'ours').flatMap(({ name, handler, cache }) => {
    const target = { at: 'most', value: cache ? 0.93 : 1.03 } as const;
    const title = `warm invocation, ${name}: median over a bare client’s`;
    if (handler === 'withPool') return ratioFigure(`warm.${name}`, title, of(name), of(BARE), target);
    return [
      ratioFigure(`warm.${name}`, `${title} behind Middy`, of(name), of(BARE_MIDDY), target),
      ratioFigure(`warm.${name}.all`, `${title}, without Middy`, of(name), of(BARE)),
    ];
  });
}

async function run(context: Context) {
  const postgres = await context.postgres();
  const spec = warmSpec(postgres, context.quick ? 100 : 300);
  const measured = await context.measure(spec, context.quick ? 7 : 61);
  context.say('warm invocation: counting messages');
  return { cases: [measured.case], figures: [...timeFigures(measured), ...(await messageFigures(postgres))] };
}

export const warm: Section = { name: 'warm', title: 'Warm invocations', run };

/** More sandboxes than the server has room for: real processes, really frozen after each invocation. */
import { type Lab, openLab } from '../../test/lab/lab.ts';
import { startPostgres, type TestPostgres } from '../../test/support/postgres.ts';
import type { Context, Section } from '../context.ts';
import type { Case, Figure } from '../model.ts';
import { countedRow, exactly, figure } from '../verdict.ts';

const SANDBOXES = 40;
const MAX_CONNECTIONS = 20;
const ROUNDS = 3;
/** So many processes start at a time. */
const AT_ONCE = 4;
/** All of them share two cores: what takes so long has not failed yet. */
const TIMEOUT_MILLIS = 20_000;

/** No sandbox keeps a connection while it is frozen: there are fewer than there are sandboxes. */
const SETTINGS: Readonly<Record<string, string>> = {
  THAWPOOL_MAX: '1',
  THAWPOOL_MAX_IDLE: '0',
  THAWPOOL_ACQUIRE_TIMEOUT_MS: '15000',
  LAB_MAX: '1',
};

async function openAll(
  subject: string,
  postgres: TestPostgres,
  labs: Lab[],
  say: (text: string) => void,
): Promise<void> {
  while (labs.length < SANDBOXES) {
    const count = Math.min(AT_ONCE, SANDBOXES - labs.length);
    const open = () => openLab({ subject, postgres, env: SETTINGS, timeoutMillis: TIMEOUT_MILLIS });
    labs.push(...(await Promise.all(Array.from({ length: count }, open))));
    say(`sandboxes with ${subject}: ${labs.length} of ${SANDBOXES}`);
  }
}

/** Invokes all at once, several times. @returns how many answered */
async function answered(subject: string, postgres: TestPostgres, say: (text: string) => void): Promise<number> {
  const labs: Lab[] = [];
  try {
    await openAll(subject, postgres, labs, say);
    let count = 0;
    for (let round = 0; round < ROUNDS; round += 1) {
      const results = await Promise.all(labs.map((lab) => lab.invoke({ op: 'query' })));
      count += results.filter(({ ok }) => ok).length;
    }
    return count;
  } finally {
    await Promise.all(labs.map((lab) => lab.close()));
  }
}

async function run({ quick, say }: Context) {
  if (quick) return { cases: [], figures: [] };
  await using postgres = await startPostgres({ maxConnections: MAX_CONNECTIONS });
  if (!postgres.managed) return { cases: [], figures: [] };
  const asked = SANDBOXES * ROUNDS;
  const ours = await answered('thawpool', postgres, say);
  const theirs = await answered('pg-pool', postgres, say);
  const title = `invocations answered of ${asked}, ${SANDBOXES} sandboxes, max_connections ${MAX_CONNECTIONS}`;
  const cases: Case[] = [
    {
      id: 'sandboxes',
      title,
      unit: 'count',
      rounds: ROUNDS,
      reference: 'pg.Pool',
      rows: [countedRow('thawpool', 'ours', ours), countedRow('pg.Pool', 'peer', theirs)],
    },
  ];
  const figures: Figure[] = [
    figure(
      'sandboxes.answered',
      `${SANDBOXES} sandboxes, max_connections ${MAX_CONNECTIONS}: answered invocations`,
      'share',
      exactly(ours / asked),
      {
        at: 'least',
        value: 1,
      },
    ),
  ];
  return { cases, figures };
}

export const sandboxes: Section = { name: 'sandboxes', title: 'More sandboxes than connections', run };

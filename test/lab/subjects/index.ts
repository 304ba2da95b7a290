/** The subjects of the lab: handlers that speak one event protocol and differ in how they reach PostgreSQL. */
import { join } from 'node:path';

/** Something that not every subject can be asked for. */
export type Ability =
  /** Lends connections out of a pool, so that one can be kept. */
  | 'lends'
  /** Connects no earlier than the handler asks for it. */
  | 'lazy'
  /** Writes a streamed response itself, so that it can say that something went wrong. */
  | 'writes'
  /** Runs behind Middy. */
  | 'middy';

/** A handler under test. */
export interface Subject {
  readonly name: string;
  readonly title: string;
  /** Source file and export, as a sandbox takes it; the file's export `stream` is the handler that streams. */
  readonly handler: string;
  /** What it cannot be asked for, and why. */
  readonly cannot?: Readonly<Partial<Record<Ability, string>>>;
}

function subject(name: string, title: string, cannot: NonNullable<Subject['cannot']> = {}): Subject {
  return { name, title, handler: `${join(import.meta.dirname, `${name}.ts`)}#handler`, cannot };
}

const middy = 'it is not behind Middy';
const lends = 'it has one connection and lends none';
const writes = 'Middy pipes the body, and AWS’s runtime client ends the process when a piped body fails';
const lazy = 'it connects before the handler’s own work';

/** Every subject, in the order of a report. */
export const subjects: readonly Subject[] = [
  subject('thawpool', 'thawpool behind Middy', { writes }),
  subject('thawpool-wrapper', 'thawpool behind withPool', { middy }),
  subject('pg-pool', 'pg.Pool with its defaults', { middy }),
  subject('pg-pool-careful', 'pg.Pool with listener, timeouts and keep-alive', { middy }),
  subject('pg-client', 'one pg.Client at module scope', { lends, lazy, middy }),
  subject('postgres-js', 'postgres.js with its defaults', { middy }),
  subject('serverless-postgres', 'serverless-postgres with its defaults', { lends, lazy, middy }),
];

/**
 * Returns the subject of that name.
 *
 * @throws When there is none; the message names those there are.
 */
export function findSubject(name: string): Subject {
  const found = subjects.find((each) => each.name === name);
  if (found) return found;
  throw new Error(`There is no subject "${name}". Known: ${subjects.map((each) => each.name).join(', ')}.`);
}

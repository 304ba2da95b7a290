/** The pool of this project, without Middy. */
import type { Writable } from 'node:stream';
import { withPool } from 'thawpool';
import { run, type SubjectEvent } from './protocol.ts';
import { secret } from './settings.ts';
import { streamCursor, streamify } from './streamify.ts';

export const handler = withPool((event: SubjectEvent, { db }) => run(event, db), secret);

export const stream = streamify(
  withPool<SubjectEvent, Writable, void>((event, body, { db }) => streamCursor(event, db, body), secret),
);

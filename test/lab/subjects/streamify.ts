/** What Lambda's runtime puts into the global scope for handlers that stream. */
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { openCursor, type SubjectDatabase, type SubjectEvent } from './protocol.ts';

type StreamingHandler = (event: SubjectEvent, body: Writable, context: object) => Promise<void>;

interface Runtime {
  streamifyResponse(handler: StreamingHandler): StreamingHandler;
}

/** Marks a handler as one that streams. */
export function streamify(handler: StreamingHandler): StreamingHandler {
  const { awslambda } = globalThis as unknown as { awslambda?: Runtime };
  return awslambda?.streamifyResponse(handler) ?? handler;
}

/**
 * Streams a cursor's rows into the response. Not by `pipeline()`: that destroys the response when it fails, and AWS's
 * runtime client ends the process for it.
 */
export async function streamCursor(event: SubjectEvent, db: SubjectDatabase, body: Writable): Promise<void> {
  for await (const piece of await openCursor(event, db)) if (!body.write(piece)) await once(body, 'drain');
  body.end();
}

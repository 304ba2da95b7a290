import type { Readable } from 'node:stream';

/**
 * Finds the streamed body of a Middy response (Node.js or web stream; the response itself or its `body`) and calls back
 * once it has been read, has failed or was given up.
 *
 * @returns the response to go on with, or nothing when no body is streamed
 */
export function endWithBody(response: unknown, onEnd: () => Promise<void>): unknown {
  if (typeof response !== 'object' || response === null) return undefined;
  const own = watch(response, onEnd);
  if (own !== undefined) return own;
  const { body } = response as { body?: unknown };
  const watched = watch(body, onEnd);
  if (watched === undefined) return undefined;
  return watched === body ? response : { ...response, body: watched };
}

function watch(stream: unknown, onEnd: () => Promise<void>): unknown {
  if (isReadable(stream)) {
    process.getBuiltinModule('node:stream').finished(stream, { writable: false }, () => void onEnd());
    return stream;
  }
  if (stream instanceof ReadableStream) {
    // A web stream tells nobody that it has ended but the one who reads it.
    return stream.pipeThrough(new TransformStream({ flush: onEnd, cancel: onEnd }));
  }
  return undefined;
}

/** A Node.js stream, also of another copy of its classes (the package readable-stream): Middy pipes those as well. */
function isReadable(stream: unknown): stream is Readable {
  return (
    stream instanceof process.getBuiltinModule('node:stream').Readable ||
    (typeof stream === 'object' && stream !== null && '_readableState' in stream)
  );
}

/**
 * Messages of the PostgreSQL protocol 3.0, whole ones: cut out of a stream, and put together.
 * Source of all layouts: https://www.postgresql.org/docs/18/protocol-message-formats.html
 */

/** One typed message, with its type byte and its length as they were on the wire. */
export interface Frame {
  readonly type: string;
  readonly bytes: Buffer;
}

/** PostgreSQL takes no longer message (`PQ_LARGE_MESSAGE_LIMIT`, 1 GiB less one byte). */
const MAX_LENGTH = 0x3fffffff;

/** Cuts a stream of typed messages into frames. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);

  /**
   * Takes the next bytes and returns the messages that they complete, in order.
   *
   * @throws RangeError for a length that no message can have.
   */
  push(chunk: Buffer): Frame[] {
    const data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const frames: Frame[] = [];
    let at = 0;
    while (data.length - at >= 5) {
      const length = data.readInt32BE(at + 1); // Counts itself, not the type byte.
      if (length < 4 || length > MAX_LENGTH) throw new RangeError(`a message of ${length} bytes`);
      if (data.length - at < length + 1) break;
      frames.push({ type: String.fromCharCode(data[at] ?? 0), bytes: data.subarray(at, at + length + 1) });
      at += length + 1;
    }
    this.#rest = data.subarray(at);
    return frames;
  }
}

/** Returns one message. */
export function frame(type: string, body: Buffer | string = ''): Buffer {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  const head = Buffer.alloc(5, type, 'latin1');
  head.writeInt32BE(bytes.length + 4, 1);
  return Buffer.concat([head, bytes]);
}

/** Returns a ReadyForQuery outside of a transaction. */
export function readyForQuery(): Buffer {
  return frame('Z', 'I');
}

/** Returns an ErrorResponse with the fields that every server sends. */
export function errorResponse(severity: 'ERROR' | 'FATAL', code: string, message: string): Buffer {
  return frame('E', `S${severity}\0V${severity}\0C${code}\0M${message}\0\0`);
}

/** Returns an authentication request: 0 is done, 3 a clear-text password, 10 to 12 the three steps of SASL. */
export function authentication(step: 0 | 3 | 10 | 11 | 12, data: Buffer | string = ''): Buffer {
  const code = Buffer.alloc(4);
  code.writeInt32BE(step);
  return frame('R', Buffer.concat([code, Buffer.from(data)]));
}

/** Returns a ParameterStatus. */
export function parameterStatus(name: string, value: string): Buffer {
  return frame('S', `${name}\0${value}\0`);
}

/** Returns a simple Query. */
export function query(sql: string): Buffer {
  return frame('Q', `${sql}\0`);
}

/** Returns the string that begins at `at` and ends before the next zero byte, and where the next field begins. */
export function cString(bytes: Buffer, at: number): { readonly text: string; readonly next: number } {
  const end = bytes.indexOf(0, at);
  if (end < 0) throw new RangeError('a string without its end');
  return { text: bytes.toString('utf8', at, end), next: end + 1 };
}

/** Returns the fields of an ErrorResponse by their one-letter names. */
export function errorFields(bytes: Buffer): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  let at = 5;
  while (at < bytes.length && bytes[at] !== 0) {
    const { text, next } = cString(bytes, at + 1);
    fields.set(String.fromCharCode(bytes[at] ?? 0), text);
    at = next;
  }
  return fields;
}

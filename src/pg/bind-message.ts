// The messages that run a prepared statement, in one buffer: pg's own way is a write for each of them. Pure: a name and
// values in, bytes out. PostgreSQL documentation, 54.7 Message Formats.

/** What a value is sent as: text, bytes as they are, or NULL. */
export type WireValue = string | Buffer | null;

/** Parameters of one statement; the protocol has 16 bits for their number. */
export const mostValues = 65_535;

/** Execute of the unnamed portal with all its rows, then Sync. */
const executeAndSync = Buffer.from([0x45, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0x53, 0, 0, 0, 4]);

/** Bytes of a Bind beside the name and the values: its length, two ends of names, three counts, one format. */
const restOfBind = 4 + 2 + 3 * 2 + 2;

/**
 * Writes Bind, Execute and Sync for a statement that has no portal of its own and returns text.
 *
 * @param name - of ASCII letters, digits and `_`
 * @param values - at most {@link mostValues}
 */
export function runMessages(name: string, values: readonly WireValue[]): Buffer {
  let length = restOfBind + name.length + values.length * 6;
  for (const value of values) length += value === null ? 0 : byteLengthOf(value);
  const buffer = Buffer.allocUnsafe(1 + length + executeAndSync.length);
  buffer[0] = 0x42;
  let at = buffer.writeInt32BE(length, 1);
  buffer[at] = 0;
  at += 1 + buffer.write(name, at + 1, 'latin1');
  buffer[at] = 0;
  at = buffer.writeUInt16BE(values.length, at + 1);
  for (const value of values) at = buffer.writeUInt16BE(typeof value === 'object' && value !== null ? 1 : 0, at);
  at = buffer.writeUInt16BE(values.length, at);
  for (const value of values) at = writeValue(buffer, value, at);
  // One format for all columns: text.
  at = buffer.writeUInt16BE(1, at);
  at = buffer.writeUInt16BE(0, at);
  executeAndSync.copy(buffer, at);
  return buffer;
}

function byteLengthOf(value: string | Buffer): number {
  return typeof value === 'string' ? Buffer.byteLength(value) : value.length;
}

function writeValue(buffer: Buffer, value: WireValue, at: number): number {
  if (value === null) return buffer.writeInt32BE(-1, at);
  const length = typeof value === 'string' ? buffer.write(value, at + 4) : value.copy(buffer, at + 4);
  return buffer.writeInt32BE(length, at) + length;
}

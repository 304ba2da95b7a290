/**
 * Reads the PostgreSQL wire protocol, version 3, as it passes by: message boundaries, names and a short text for the
 * trace. It keeps no bytes back and never keeps a password. Source of all codes:
 * https://www.postgresql.org/docs/18/protocol-message-formats.html
 */
import { backendText, frontendText, startupText } from './wire-text.ts';

/** Which way a message goes. */
export type Direction = 'toServer' | 'toClient';

/** One message as the parser saw it; `end` is the offset behind its last byte in the chunk that completed it. */
export interface ParsedMessage {
  readonly name: string;
  readonly length: number;
  readonly text: string;
  readonly end: number;
}

const FRONTEND: Readonly<Record<string, string>> = {
  B: 'Bind',
  C: 'Close',
  D: 'Describe',
  E: 'Execute',
  F: 'FunctionCall',
  H: 'Flush',
  P: 'Parse',
  Q: 'Query',
  S: 'Sync',
  X: 'Terminate',
  c: 'CopyDone',
  d: 'CopyData',
  f: 'CopyFail',
  p: 'Password',
};

const BACKEND: Readonly<Record<string, string>> = {
  '1': 'ParseComplete',
  '2': 'BindComplete',
  '3': 'CloseComplete',
  A: 'NotificationResponse',
  C: 'CommandComplete',
  D: 'DataRow',
  E: 'ErrorResponse',
  G: 'CopyInResponse',
  H: 'CopyOutResponse',
  I: 'EmptyQueryResponse',
  K: 'BackendKeyData',
  N: 'NoticeResponse',
  R: 'Authentication',
  S: 'ParameterStatus',
  T: 'RowDescription',
  V: 'FunctionCallResponse',
  W: 'CopyBothResponse',
  Z: 'ReadyForQuery',
  c: 'CopyDone',
  d: 'CopyData',
  n: 'NoData',
  s: 'PortalSuspended',
  t: 'ParameterDescription',
  v: 'NegotiateProtocolVersion',
};

const CANCEL_REQUEST = 80877102;
const SSL_REQUEST = 80877103;
const GSSENC_REQUEST = 80877104;
const TLS_HANDSHAKE = 0x16; // First byte of a TLS record that holds a ClientHello (RFC 8446, 5.1).
/** How much of a message is kept for its text. */
const KEPT_BYTES = 2048;

/** Returns an ErrorResponse of severity FATAL, as a server sends it before it ends a session. */
export function fatalError(code: string, message: string): Buffer {
  const fields = Buffer.from(`SFATAL\0VFATAL\0C${code}\0M${message}\0\0`);
  const header = Buffer.from('E\0\0\0\0');
  header.writeInt32BE(fields.length + 4, 1); // Counts itself, not the type byte.
  return Buffer.concat([header, fields]);
}

/** What both directions of one connection need to know of each other. */
export interface WireState {
  /** The next bytes of the client are an untyped message (startup, SSLRequest, CancelRequest). */
  untyped: boolean;
  /** The server owes the one-byte answer to an SSLRequest or GSSENCRequest. */
  awaitsEncryptionAnswer: boolean;
  /** TLS has begun: nothing can be read any more. */
  encrypted: boolean;
}

/** Returns the state of a connection on which nothing was said yet. */
export function newWireState(): WireState {
  return { untyped: true, awaitsEncryptionAnswer: false, encrypted: false };
}

/** Reads one direction of one connection, chunk by chunk. */
export class WireParser {
  readonly #direction: Direction;
  readonly #state: WireState;
  #header = Buffer.alloc(5);
  #headerFilled = 0;
  #bodyLeft = 0;
  #length = 0;
  #kept: Buffer[] = [];
  #keptBytes = 0;

  constructor(direction: Direction, state: WireState) {
    this.#direction = direction;
    this.#state = state;
  }

  /** Takes the next bytes and yields each message that they complete, in order. */
  *push(chunk: Buffer): Generator<ParsedMessage> {
    let at = 0;
    while (at < chunk.length && !this.#state.encrypted) {
      if (this.#direction === 'toClient' && this.#state.awaitsEncryptionAnswer && this.#headerFilled === 0) {
        at += 1;
        yield this.#encryptionAnswer(chunk, at);
        continue;
      }
      if (this.#bodyLeft === 0 && this.#startsTls(chunk, at)) {
        this.#state.encrypted = true;
        return;
      }
      at = this.#bodyLeft > 0 ? this.#takeBody(chunk, at) : this.#takeHeader(chunk, at);
      if (this.#headerFilled === this.#headerSize() && this.#bodyLeft === 0) yield this.#complete(at);
    }
  }

  #untyped(): boolean {
    return this.#direction === 'toServer' && this.#state.untyped;
  }

  #headerSize(): number {
    return this.#untyped() ? 4 : 5;
  }

  #startsTls(chunk: Buffer, at: number): boolean {
    return this.#untyped() && this.#headerFilled === 0 && chunk[at] === TLS_HANDSHAKE;
  }

  #encryptionAnswer(chunk: Buffer, end: number): ParsedMessage {
    const answer = String.fromCharCode(chunk[end - 1] ?? 0);
    this.#state.awaitsEncryptionAnswer = false;
    if (answer === 'S' || answer === 'G') this.#state.encrypted = true;
    return { name: 'EncryptionResponse', length: 1, text: answer, end };
  }

  #takeHeader(chunk: Buffer, at: number): number {
    const size = this.#headerSize();
    const taken = Math.min(size - this.#headerFilled, chunk.length - at);
    chunk.copy(this.#header, this.#headerFilled, at, at + taken);
    this.#headerFilled += taken;
    if (this.#headerFilled === size) {
      this.#length = this.#header.readInt32BE(size - 4); // Counts itself, not the type byte.
      this.#bodyLeft = Math.max(0, this.#length - 4);
    }
    return at + taken;
  }

  #takeBody(chunk: Buffer, at: number): number {
    const taken = Math.min(this.#bodyLeft, chunk.length - at);
    const room = KEPT_BYTES - this.#keptBytes;
    if (room > 0) {
      const kept = Buffer.from(chunk.subarray(at, at + Math.min(taken, room)));
      this.#kept.push(kept);
      this.#keptBytes += kept.length;
    }
    this.#bodyLeft -= taken;
    return at + taken;
  }

  #complete(end: number): ParsedMessage {
    const body = this.#kept.length === 1 ? (this.#kept[0] as Buffer) : Buffer.concat(this.#kept);
    const length = this.#length;
    const untyped = this.#untyped();
    this.#kept = [];
    this.#keptBytes = 0;
    this.#headerFilled = 0;
    if (untyped) return { ...this.#untypedMessage(body), length, end };
    const code = String.fromCharCode(this.#header[0] ?? 0);
    const frontend = this.#direction === 'toServer';
    const name = (frontend ? FRONTEND[code] : BACKEND[code]) ?? `Unknown(${code})`;
    return { name, length, text: frontend ? frontendText(name, body) : backendText(name, body), end };
  }

  #untypedMessage(body: Buffer): { name: string; text: string } {
    const code = body.length >= 4 ? body.readInt32BE(0) : 0;
    if (code === SSL_REQUEST || code === GSSENC_REQUEST) {
      this.#state.awaitsEncryptionAnswer = true;
      return { name: code === SSL_REQUEST ? 'SSLRequest' : 'GSSENCRequest', text: '' };
    }
    if (code === CANCEL_REQUEST) return { name: 'CancelRequest', text: `process ${body.readInt32BE(4)}` };
    this.#state.untyped = false;
    return { name: 'Startup', text: startupText(body) };
  }
}

import { describe, expect, it } from 'vitest';
import { fatalError, newWireState, type ParsedMessage, WireParser } from './wire.ts';

function message(code: string, body: string): Buffer {
  const bytes = Buffer.from(body, 'latin1');
  const header = Buffer.alloc(5);
  header.write(code, 'latin1');
  header.writeInt32BE(bytes.length + 4, 1);
  return Buffer.concat([header, bytes]);
}

function untyped(code: number, rest = ''): Buffer {
  const header = Buffer.alloc(8);
  header.writeInt32BE(8 + rest.length);
  header.writeInt32BE(code, 4);
  return Buffer.concat([header, Buffer.from(rest, 'latin1')]);
}

const SSL_REQUEST = untyped(80877103);
const STARTUP = untyped(196608, 'user\0app\0database\0shop\0\0'); // 196608 is protocol version 3.0.

function shown(messages: Iterable<ParsedMessage>): string[] {
  return [...messages].map(({ name, text }) => `${name} ${text}`.trim());
}

describe('the wire parser', () => {
  it('names messages whatever pieces they arrive in', () => {
    const parts = [STARTUP, message('p', 'secret\0'), message('Q', 'select 1\0'), message('S', '')];
    parts.push(message('P', 's1\0select $1\0\0\0'), message('X', ''));
    const bytes = Buffer.concat(parts);
    const expected = ['Startup user=app database=shop', 'Password', 'Query "select 1"', 'Sync'];
    expected.push('Parse s1 "select $1"', 'Terminate');
    for (let size = 1; size <= bytes.length; size += 1) {
      const parser = new WireParser('toServer', newWireState());
      const seen: string[] = [];
      for (let at = 0; at < bytes.length; at += size) seen.push(...shown(parser.push(bytes.subarray(at, at + size))));
      expect(seen).toEqual(expected);
    }
  });

  it('says where each message ends in its chunk', () => {
    const parser = new WireParser('toServer', newWireState());
    const query = message('Q', 'select 1\0');
    const ends = [...parser.push(Buffer.concat([STARTUP, query, query.subarray(0, 3)]))].map(({ end }) => end);
    expect(ends).toEqual([STARTUP.length, STARTUP.length + query.length]);
  });

  it('reads on in clear text when the server declines TLS', () => {
    const state = newWireState();
    const client = new WireParser('toServer', state);
    const server = new WireParser('toClient', state);
    expect(shown(client.push(SSL_REQUEST))).toEqual(['SSLRequest']);
    expect(shown(server.push(Buffer.from('N')))).toEqual(['EncryptionResponse N']);
    expect(shown(client.push(STARTUP))).toEqual(['Startup user=app database=shop']);
    expect(shown(server.push(message('Z', 'I')))).toEqual(['ReadyForQuery I']);
  });

  it('stops reading when TLS begins, asked for or direct', () => {
    const asked = newWireState();
    shown(new WireParser('toServer', asked).push(SSL_REQUEST));
    shown(new WireParser('toClient', asked).push(Buffer.from('S')));
    expect(asked.encrypted).toBe(true);
    const direct = newWireState();
    expect(shown(new WireParser('toServer', direct).push(Buffer.from([0x16, 3, 1, 0, 5])))).toEqual([]);
    expect(direct.encrypted).toBe(true);
  });

  it('keeps passwords in statements to itself', () => {
    const parser = new WireParser('toServer', newWireState());
    const sql = "alter role app PASSWORD 'it''s secret' valid until 'tomorrow'";
    const seen = shown(parser.push(Buffer.concat([STARTUP, message('Q', `${sql}\0`)])));
    expect(seen[1]).toBe(`Query "alter role app PASSWORD '…' valid until 'tomorrow'"`);
  });

  it('shows errors with their code', () => {
    const parser = new WireParser('toClient', newWireState());
    const error = message('E', 'SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0');
    expect(shown(parser.push(error))).toEqual(['ErrorResponse FATAL 57P01 terminating connection']);
  });

  it('reads what fatalError() writes', () => {
    const parser = new WireParser('toClient', newWireState());
    expect(shown(parser.push(fatalError('57P05', 'too long idle')))).toEqual([
      'ErrorResponse FATAL 57P05 too long idle',
    ]);
  });
});

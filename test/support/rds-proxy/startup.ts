/** The startup packet: what it may hold, and the words with which RDS Proxy refuses the rest. */
import { cString } from './frames.ts';
import type { Refusal } from './ledger.ts';

/** Ends a login, or a session, with what the client is told and what tests are told. */
export class Refused extends Error {
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    super(refusal.reason);
    this.refusal = refusal;
  }
}

/** Whom a client says it is, and the settings it brings. */
export interface Startup {
  readonly user: string;
  readonly database: string;
  /** Tracked variables by their lower-case names. */
  readonly settings: ReadonlyMap<string, string>;
}

/** Variables that RDS Proxy takes from the startup packet and carries from backend to backend (RDS User Guide). */
const TRACKED: ReadonlySet<string> = new Set([
  'application_name',
  'client_encoding',
  'datestyle',
  'timezone',
  'extra_float_digits',
  'search_path',
]);

const unsupported = (rule: Refusal['rule'], what: string, reason: string): Refused =>
  new Refused({ rule, code: '0A000', message: `Feature not supported: RDS Proxy ${what}.`, reason });

/** Returns the refusal of a message that the protocol does not allow here. */
export function violation(reason: string): Refused {
  return new Refused({ rule: 'protocol', code: '08P01', message: `protocol violation: ${reason}`, reason });
}

function checkName(name: string): void {
  if (TRACKED.has(name.toLowerCase()) || /^(?:user|database)$/i.test(name)) return;
  const lower = name.toLowerCase();
  if (lower === 'options') {
    throw unsupported('startup-parameter', "currently doesn't support command-line options", 'options');
  }
  if (lower === 'replication') {
    throw unsupported('startup-parameter', "currently doesn't support streaming replication mode", name);
  }
  throw unsupported('startup-parameter', `currently doesn't support the option ${name}`, name);
}

/**
 * Reads a startup packet: its version and what follows, without the length.
 *
 * @throws Refused when it asks for what RDS Proxy does not do.
 */
export function readStartup(packet: Buffer): Startup {
  const version = packet.readInt32BE(0);
  if (version !== 3 << 16) {
    const found = `${version >>> 16}.${version & 0xffff}`;
    throw unsupported('protocol-version', 'supports only version 3.0 of the PostgreSQL messaging protocol', found);
  }
  const parameters = new Map<string, string>();
  for (let at = 4; at < packet.length - 1; ) {
    const name = cString(packet, at);
    const value = cString(packet, name.next);
    parameters.set(name.text, value.text);
    at = value.next;
  }
  for (const name of parameters.keys()) checkName(name);
  const byName = new Map([...parameters].map(([name, value]) => [name.toLowerCase(), value]));
  const user = byName.get('user');
  if (!user) {
    const message =
      'A user name is missing from the connection startup packet. Provide a user name for this connection.';
    throw new Refused({ rule: 'user', code: '28000', message, reason: 'no user in the startup packet' });
  }
  const settings = new Map([...byName].filter(([name]) => TRACKED.has(name)));
  return { user, database: byName.get('database') || user, settings };
}

/**
 * Which statements tie a client to its backend, by the list in Amazon's documentation ("Avoiding pinning an RDS Proxy",
 * conditions for PostgreSQL), and which are open there. Text and regular expressions only: the code under test has its
 * own idea of the same list, and one must not be made from the other.
 */

/** Why a client is pinned. */
export type PinReason =
  | 'set'
  | 'set-config'
  | 'prepared-statement'
  | 'named-statement'
  | 'discard'
  | 'temporary-object'
  | 'cursor'
  | 'listen'
  | 'load'
  | 'sequence'
  | 'advisory-lock'
  | 'statement-size';

/** Why a statement is noted without pinning. */
export type SuspicionReason = 'set-local' | 'set-transaction' | 'prepare-transaction' | 'session-sequence' | 'unlisten';

/** What was found in a text: at most one pin and one suspicion for each of its statements. */
export interface Findings {
  readonly pins: readonly PinReason[];
  readonly suspicions: readonly SuspicionReason[];
}

/** "Any statement with a text size greater than 16 KB": in bytes, as it comes over the wire. */
const MAX_STATEMENT_BYTES = 16 * 1024;

/** EXPLAIN ANALYZE runs what it explains; its options in parentheses or in words. */
const EXPLAIN = /^explain\s*(?:\([^)]*\)|(?:(?:analyze|verbose)\s+)*)\s*/;

const PINS: readonly (readonly [PinReason, RegExp])[] = [
  ['set', /^(?:set|reset)\b/],
  ['prepared-statement', /^(?:prepare|execute|deallocate)\b|^create\b.*\bas\s+execute\b/s],
  ['discard', /^discard\b/],
  ['cursor', /^declare\b/],
  ['listen', /^listen\b/],
  ['load', /^load\b/],
  ['temporary-object', /^create\s+(?:or\s+replace\s+)?(?:(?:local|global)\s+)?temp(?:orary)?\b/],
  ['temporary-object', /^create\b.*\bpg_temp\s*\./s],
  ['temporary-object', /\binto\s+(?:(?:local|global)\s+)?temp(?:orary)?\s+(?:table\s+)?\w/],
  ['set-config', /\bset_config\s*\(/],
  ['sequence', /\b(?:nextval|setval)\s*\(/],
  ['advisory-lock', /\bpg_(?:try_)?advisory_(?:lock|lock_shared|unlock|unlock_shared|unlock_all)\s*\(/],
];

/** These begin as a statement that pins and end with the transaction: the documentation does not tell them apart. */
const OPEN: readonly (readonly [SuspicionReason, RegExp])[] = [
  ['set-local', /^set\s+local\b/],
  ['set-transaction', /^set\s+(?:transaction|constraints)\b/],
  ['prepare-transaction', /^prepare\s+transaction\b/],
];

/** These pin nothing and need the session that somebody else may have by now. */
const FRAGILE: readonly (readonly [SuspicionReason, RegExp])[] = [
  ['session-sequence', /\b(?:currval|lastval)\s*\(/],
  ['unlisten', /^unlisten\b/],
];

/**
 * Comments, quoted texts and quoted names. A comment inside a comment ends where the inner one does, which is good
 * enough here. Backslashes escape in E'…' only.
 */
const HIDDEN =
  /--[^\n]*|\/\*(?:[^*]|\*(?!\/))*\*\/|\be'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*'|(?<![\w$])\$([a-z_]\w*)?\$.*?\$\1\$|"(?:[^"]|"")*"/gis;

/** A quoted name that needs no quotes calls the same function without them. */
function unhide(token: string): string {
  if (/^"[a-z_][a-z0-9_]*"$/.test(token)) return token.slice(1, -1);
  if (token.startsWith('"')) return '_';
  return token.startsWith('--') || token.startsWith('/*') ? ' ' : "''";
}

/** Reads one text that a client sends, which may hold several statements. */
export function findPins(text: string): Findings {
  const pins = new Set<PinReason>();
  const suspicions = new Set<SuspicionReason>();
  if (Buffer.byteLength(text) > MAX_STATEMENT_BYTES) pins.add('statement-size');
  for (const part of text.replace(HIDDEN, unhide).toLowerCase().split(';')) {
    const statement = part.trim().replace(EXPLAIN, '');
    for (const [reason, pattern] of FRAGILE) if (pattern.test(statement)) suspicions.add(reason);
    const open = OPEN.find(([, pattern]) => pattern.test(statement));
    if (open !== undefined) {
      suspicions.add(open[0]);
      continue;
    }
    for (const [reason, pattern] of PINS) if (pattern.test(statement)) pins.add(reason);
  }
  return { pins: [...pins], suspicions: [...suspicions] };
}

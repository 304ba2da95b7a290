// Reads SQL just far enough to tell which statements a text holds and which words in them are words: pure, linear in the
// text, and total. It must not know what a statement does: session-state.ts and pins.ts do. Rules: PostgreSQL
// documentation, 4.1 Lexical Structure, and the server's own scanner (src/backend/parser/scan.l, PostgreSQL 18), with
// standard_conforming_strings on, its default since 9.1.

/**
 * `quoted` is an identifier in double quotes; `string` a plain `'…'`; `verbatim` a string of another spelling (E'…', U&'…',
 * B'…', X'…', N'…', $tag$…$tag$); `other` a single character.
 */
export type TokenKind = 'word' | 'quoted' | 'string' | 'verbatim' | 'number' | 'parameter' | 'operator' | 'other';

/** One token of a text; what lies between two tokens is white space and comments. */
export interface Token {
  readonly kind: TokenKind;
  /**
   * A word in lower case (ASCII only, as the server folds it in UTF-8), a quoted identifier or a plain `'…'` without its
   * quotes, anything else as it stands in the text.
   */
  readonly value: string;
  readonly start: number;
  readonly end: number;
}

/** The tokens of one statement, without its semicolon; at least one. */
export type Statement = readonly Token[];

// Sticky: each matches at `lastIndex` or not at all. An identifier may hold any character above ASCII, NBSP included.
const prefixPattern = /[EBXN](?=')|U&(?=['"])/iy;
const wordPattern = /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/y;
const dollarQuotePattern = /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/y;
const simplePatterns: readonly (readonly [TokenKind, RegExp])[] = [
  ['parameter', /\$\d+/y],
  ['number', /0(?:x[\da-f_]+|o[0-7_]+|b[01_]+)|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:e[+-]?\d[\d_]*)?/iy],
  // An operator ends where a comment begins.
  ['operator', /::|:=|(?:(?!--|\/\*)[+\-*/<>=~!@#%^&|`?])+/y],
];

/** Yields the tokens of a text. Never throws: what is not terminated ends where the text ends. */
export function* tokensOf(sql: string): Generator<Token, void> {
  for (let at = skipBlank(sql, 0); at < sql.length; ) {
    const token = tokenAt(sql, at);
    yield token;
    at = skipBlank(sql, token.end);
  }
}

/**
 * Yields the statements of a text, split at semicolons. Those of a function's body that is written in SQL
 * (`BEGIN ATOMIC … END`; PostgreSQL documentation, CREATE FUNCTION, `sql_body`) belong to the statement around them.
 */
export function* statementsOf(sql: string): Generator<Statement, void> {
  let statement: Token[] = [];
  let depth = 0;
  for (const token of tokensOf(sql)) {
    if (depth === 0 && isOther(token, ';')) {
      if (statement.length > 0) yield statement;
      statement = [];
    } else {
      depth = depthAfter(token, statement, depth);
      statement.push(token);
    }
  }
  if (statement.length > 0) yield statement;
}

/** Whether a token is one of these words, and not an identifier in quotes. */
export function isWord(token: Token | undefined, ...words: readonly string[]): boolean {
  return token?.kind === 'word' && words.includes(token.value);
}

/** Whether a token is this identifier, in quotes or not. */
export function isName(token: Token | undefined, name: string): boolean {
  return nameOf(token) === name;
}

/** Returns the identifier that a token is, if it is one. */
export function nameOf(token: Token | undefined): string | undefined {
  return token?.kind === 'word' || token?.kind === 'quoted' ? token.value : undefined;
}

/** Whether a token is this character, one that is neither part of an operator nor of a word: `( ) [ ] , ; .` */
export function isOther(token: Token | undefined, character: string): boolean {
  return token?.kind === 'other' && token.value === character;
}

/** How deep in a body written in SQL the text is after this token: `CASE` has an `END` of its own. */
function depthAfter(token: Token, before: Statement, depth: number): number {
  const previous = before.at(-1);
  if (depth === 0) return isWord(token, 'atomic') && isWord(previous, 'begin') && createsRoutine(before) ? 1 : 0;
  // Any keyword may be a label: `AS end`, `t.end`.
  if (isWord(previous, 'as') || isOther(previous, '.')) return depth;
  if (isWord(token, 'case')) return depth + 1;
  return isWord(token, 'end') ? depth - 1 : depth;
}

function createsRoutine(statement: Statement): boolean {
  const what = isWord(statement[1], 'or') ? statement[3] : statement[1];
  return isWord(statement[0], 'create') && isWord(what, 'function', 'procedure');
}

function tokenAt(sql: string, start: number): Token {
  const opening = endOf(prefixPattern, sql, start);
  const prefix = sql.slice(start, opening).toLowerCase();
  const quote = sql[opening];
  if (quote === "'") {
    const end = endOfString(sql, opening, prefix === 'e');
    if (prefix === '') return { kind: 'string', value: unquoted(sql, start, end), start, end };
    return { kind: 'verbatim', value: sql.slice(start, end), start, end };
  }
  if (quote === '"') {
    const end = endOfQuoted(sql, opening, '"');
    const value = unquoted(sql, opening, end);
    return { kind: 'quoted', value: prefix === '' ? value : unescaped(value), start, end };
  }
  const word = endOf(wordPattern, sql, start);
  if (word > start) return { kind: 'word', value: folded(sql.slice(start, word)), start, end: word };
  const tag = endOf(dollarQuotePattern, sql, start);
  if (tag > start) {
    const close = sql.indexOf(sql.slice(start, tag), tag);
    const end = close === -1 ? sql.length : close + tag - start;
    return { kind: 'verbatim', value: sql.slice(start, end), start, end };
  }
  for (const [kind, pattern] of simplePatterns) {
    const end = endOf(pattern, sql, start);
    if (end > start) return { kind, value: sql.slice(start, end), start, end };
  }
  return { kind: 'other', value: sql.slice(start, start + 1), start, end: start + 1 };
}

/** Where a sticky pattern ends that begins here; here when it does not. */
function endOf(pattern: RegExp, sql: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.test(sql) ? pattern.lastIndex : at;
}

/** PostgreSQL's white space: space, \t \n \v \f \r. JavaScript's `\s` has more, which are identifiers here. */
function isBlank(code: number): boolean {
  return code === 32 || (code >= 9 && code <= 13);
}

function skipBlank(sql: string, from: number): number {
  let at = from;
  for (;;) {
    if (isBlank(sql.charCodeAt(at))) at += 1;
    else if (sql.startsWith('--', at)) at = endOfLine(sql, at);
    else if (sql.startsWith('/*', at)) at = endOfComment(sql, at);
    else return at;
  }
}

const lineEnd = /[\n\r]/g;

function endOfLine(sql: string, at: number): number {
  lineEnd.lastIndex = at;
  return lineEnd.test(sql) ? lineEnd.lastIndex : sql.length;
}

const commentEdge = /\/\*|\*\//g;

/** Comments in `/* … *\/` nest (PostgreSQL documentation, 4.1.5). */
function endOfComment(sql: string, start: number): number {
  let depth = 0;
  commentEdge.lastIndex = start;
  while (commentEdge.test(sql)) {
    depth += sql[commentEdge.lastIndex - 1] === '*' ? 1 : -1;
    if (depth === 0) return commentEdge.lastIndex;
  }
  return sql.length;
}

/**
 * Two strings with nothing but white space and a line break between them are one, and the second is read like the first
 * (PostgreSQL documentation, 4.1.2.1): `E'a'`, a line break, `'\''` is not open at its end.
 */
function endOfString(sql: string, opening: number, escapes: boolean): number {
  for (let at = opening; ; ) {
    const end = escapes ? endOfEscaped(sql, at) : endOfQuoted(sql, at, "'");
    const next = continuation(sql, end);
    if (next === -1) return end;
    at = next;
  }
}

function endOfQuoted(sql: string, opening: number, quote: string): number {
  for (let at = opening + 1; ; at += 2) {
    at = sql.indexOf(quote, at);
    if (at === -1) return sql.length;
    if (sql[at + 1] !== quote) return at + 1;
  }
}

function endOfEscaped(sql: string, opening: number): number {
  for (let at = opening + 1; at < sql.length; at += 1) {
    const character = sql[at];
    if (character === '\\') at += 1;
    else if (character === "'") {
      if (sql[at + 1] !== "'") return at + 1;
      at += 1;
    }
  }
  return sql.length;
}

/** Where the string goes on after it was closed; -1 when it does not. */
function continuation(sql: string, from: number): number {
  let lines = 0;
  for (let at = from; ; ) {
    const code = sql.charCodeAt(at);
    if (isBlank(code)) {
      if (code === 10 || code === 13) lines += 1;
      at += 1;
    } else if (sql.startsWith('--', at)) {
      at = endOfLine(sql, at);
      lines += 1;
    } else {
      return lines > 0 && sql[at] === "'" ? at : -1;
    }
  }
}

/** What stands between two quotes, doubled ones halved. The closing one may be missing. */
function unquoted(sql: string, opening: number, end: number): string {
  const quote = sql.slice(opening, opening + 1);
  const closed = end > opening + 1 && sql[end - 1] === quote;
  const inner = sql.slice(opening + 1, closed ? end - 1 : end);
  return inner.includes(quote) ? inner.replaceAll(quote + quote, quote) : inner;
}

/** `\0041`, `\+000041` and `\\` in U&"…" (PostgreSQL documentation, 4.1.1). Another UESCAPE character is not followed. */
function unescaped(value: string): string {
  return value.replace(
    /\\(?:(\\)|([\da-f]{4})|\+([\da-f]{6}))/gi,
    (all, backslash?: string, four?: string, six?: string) => {
      const point = Number.parseInt(four ?? six ?? '', 16);
      if (backslash !== undefined) return backslash;
      return point <= 0x10ffff ? String.fromCodePoint(point) : all;
    },
  );
}

/** ASCII letters only: `toLowerCase` would make a `k` of the Kelvin sign. */
function folded(word: string): string {
  return word.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

/** What a text must hold to be worth reading; names and words in lower case. */
export interface Suspicion {
  /** Words with which a statement begins. */
  readonly statements: readonly string[];
  /** Regular expressions for what may stand anywhere. */
  readonly anywhere: readonly string[];
}

/**
 * Makes the check that lets ordinary texts through unread: it may take a harmless text for a suspicious one (the word may
 * be in a string), never the other way round. A statement begins at the start of the text or after a semicolon; a
 * comment there could hide its first word, so it is suspicious too.
 *
 * It costs 0.04 µs for 34 characters, 0.11 µs for a join of 187 and 0.3 µs for an ORM's 541 (Node 24, best of 15 runs of
 * 100,000; one regular expression for all took three times as long). A round trip to a server on the same machine is 119 µs.
 */
export function suspects({ statements, anywhere }: Suspicion): (sql: string) => boolean {
  const beginning = `\\s*(?:--|/\\*|(?:${statements.join('|')})\\b)`;
  const words = new RegExp(['u&"', ...anywhere].join('|'), 'i');
  const first = new RegExp(`^${beginning}`, 'i');
  const later = new RegExp(`;${beginning}`, 'i');
  return (sql) => words.test(sql) || first.test(sql) || (sql.includes(';') && later.test(sql));
}

/** Texts in each of two generations: a function has tens of distinct texts, rarely hundreds. */
const generationSize = 256;
/** UTF-16 units of the longest text that is kept: with the line above 2 × 256 × 4096, at most 2 MB of ASCII. */
const longestKept = 4096;

/**
 * Remembers what was found in a text. Two generations stand for a list in order of use: a text that is asked for again
 * moves to the young one, and the old one is dropped whole when the young one is full. Longer texts are read each time.
 */
export function memoByText<T>(read: (sql: string) => T): (sql: string) => T {
  let young = new Map<string, T>();
  let old = new Map<string, T>();
  return (sql) => {
    if (sql.length > longestKept) return read(sql);
    const known = young.get(sql);
    if (known !== undefined) return known;
    const found = old.get(sql) ?? read(sql);
    if (young.size >= generationSize) {
      old = young;
      young = new Map();
    }
    young.set(sql, found);
    return found;
  };
}

/**
 * UTF-16 units of the longest text that is read. A token takes some 60 bytes for every 4 to 6 units of text, so that this
 * one takes about 4 MB for a moment; the smallest function has 128 MB.
 */
export const longestRead: number = 262_144;

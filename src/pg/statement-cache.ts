// Which texts of a connection are prepared at the server under a name of ours. Pure: texts in, decisions out. It must not
// know how a statement is sent: prepared-query.ts does.

import type pg from 'pg';
import { executed, type SessionState, stateLeftBy, temporaryObject } from './session-state.ts';
import { isOther, isWord, longestRead, memoByText, statementsOf, type Token, tokensOf } from './sql-lexer.ts';

/** A text that is, or is about to be, prepared on one connection. */
export interface Statement {
  readonly text: string;
  /** What the server knows it by. Never used for another text, nor by another connection. */
  readonly name: string;
  /** What it leaves behind in the session, each time it runs. */
  readonly leaves: SessionState;
  /** Whether it holds literals that the server reads by the session's settings of dates and times, once: as it is parsed. */
  readonly dated: boolean;
  /** `new` has not been prepared yet, `ready` has, `gone` may not be used under its name any more. */
  stage: 'new' | 'ready' | 'gone';
  /** The columns of what it returns, `null` when it returns no rows; not known until the server has said so. */
  fields: readonly pg.FieldDef[] | null | undefined;
}

/**
 * UTF-16 units of the longest text that is kept. What is longer is a list of values written out more often than not, and
 * is not asked for twice; 100 of this length are 1.6 MB of ASCII.
 */
const longestText = 16_384;

/** What can have parameters and runs by a plan. Of the rest, EXPLAIN would show another plan than is asked for. */
const preparable = ['select', 'insert', 'update', 'delete', 'merge', 'with', 'values'];

/**
 * The texts of one connection. A text is kept from its second use on, so that what is asked for once neither costs the
 * server memory nor drives out what is asked for each time. The one that was used least recently makes room for another.
 */
export class StatementCache {
  readonly #size: number;
  readonly #prefix: string;
  #count = 0;
  /** Used once, the longest ago first. */
  readonly #seen = new Set<string>();
  /** In the order of their last use. */
  readonly #kept = new Map<string, Statement>();
  #closing: string[] = [];

  /**
   * @param size - how many statements are kept, and how many texts besides that were used once
   * @param prefix - begins every name: with a pooler between that nobody told us of, one connection's names must not be
   * another's
   */
  constructor(size: number, prefix: string) {
    this.#size = size;
    this.#prefix = prefix;
  }

  /** Counts a use of this text. @returns what it is prepared as, or is to be; nothing when it is to go without a name */
  use(text: string): Statement | undefined {
    const kept = this.#kept.get(text);
    if (kept !== undefined) {
      this.#kept.delete(text);
      this.#kept.set(text, kept);
      return kept;
    }
    if (this.#seen.delete(text)) return isPreparable(text) ? this.#keep(text) : undefined;
    if (text.length <= longestText) this.#see(text);
    return undefined;
  }

  /** Gives a statement up; its text is prepared anew when it is used next. */
  forget(statement: Statement): void {
    if (statement.stage === 'gone') return;
    this.#drop(statement);
    this.#see(statement.text);
  }

  /** Gives a statement up for another of the same text. */
  renew(statement: Statement): Statement {
    this.forget(statement);
    this.#seen.delete(statement.text);
    return this.#kept.get(statement.text) ?? this.#keep(statement.text);
  }

  /** The server has given up all of them: DISCARD ALL, DEALLOCATE ALL. Each is prepared anew when it is used next. */
  clear(): void {
    this.forgetAll();
    this.#closing = [];
  }

  /** Gives all of them up: names in them may mean something else now. */
  forgetAll(): void {
    for (const statement of this.#kept.values()) this.forget(statement);
  }

  /** Gives up those with literals that may be read otherwise now. */
  forgetDated(): void {
    for (const statement of this.#kept.values()) if (statement.dated) this.forget(statement);
  }

  /** The names that the server is to be told to give up, each once. */
  takeClosing(): readonly string[] {
    const closing = this.#closing;
    this.#closing = [];
    return closing;
  }

  #keep(text: string): Statement {
    this.#count += 1;
    const name = `${this.#prefix}${this.#count}`;
    const leaves = stateLeftBy(text);
    const statement: Statement = { text, name, leaves, dated: isDated(text), stage: 'new', fields: undefined };
    this.#kept.set(text, statement);
    for (const oldest of this.#kept.values()) {
      if (this.#kept.size <= this.#size) break;
      this.#drop(oldest);
    }
    return statement;
  }

  #drop(statement: Statement): void {
    statement.stage = 'gone';
    this.#kept.delete(statement.text);
    this.#closing.push(statement.name);
  }

  #see(text: string): void {
    this.#seen.add(text);
    for (const oldest of this.#seen) {
      if (this.#seen.size <= this.#size) break;
      this.#seen.delete(oldest);
    }
  }
}

function isPreparable(text: string): boolean {
  for (const token of tokensOf(text)) {
    if (!isOther(token, '(')) return isWord(token, ...preparable) && !isFrozen(text) && !makesTemporary(text);
  }
  return false;
}

/**
 * What a literal of a date or time may say that is another moment each time it is parsed, and the same one for as long as
 * the statement stays prepared (PostgreSQL documentation, 8.5.1.4 Special Values).
 */
const moment = /(?<![a-z])(?:now|today|tomorrow|yesterday)(?![a-z])/i;
/** Letters by their number, among which such a word could hide. */
const escape = /\\[\dxu+]/i;

function isFrozen(text: string): boolean {
  for (const { kind, value } of literalsOf(text)) {
    if (moment.test(value) || (kind === 'verbatim' && escape.test(value))) return true;
  }
  return false;
}

/** Dates, times and intervals have digits in them, but for those above and a few that are always the same. */
function isDated(text: string): boolean {
  for (const { value } of literalsOf(text)) if (/\d/.test(value)) return true;
  return false;
}

function* literalsOf(text: string): Generator<Token, void> {
  for (const token of tokensOf(text)) if (token.kind === 'string' || token.kind === 'verbatim') yield token;
}

/**
 * Whether a text makes something temporary, which hides what has the same name elsewhere. The server looks names up again
 * only when what they mean is changed or gone, or the search path is another.
 */
export const makesTemporary: (text: string) => boolean = memoByText((text) => {
  if (!/temp/i.test(text)) return false;
  if (text.length > longestRead) return true;
  for (const statement of statementsOf(text)) if (temporaryObject(executed(statement)) !== undefined) return true;
  return false;
});

/**
 * Codes with which the server may refuse to bind a prepared statement that it would have taken anew: 0A000 (the columns of
 * its result are others now), 26000 (there is none of this name), and where types of its parameters have changed or were
 * dropped, whatever comes of reading values as the old ones: 22… (data exceptions), 42… (no such operator), XX000.
 */
const staleCode = /^(?:0A000|26000|XX000|22|42)/;

/** Whether an error that came before a statement was bound, so that it has not run, may be none of its text's. */
export function isStale(code: string | undefined): boolean {
  // Stryker disable next-line ConditionalExpression: the compiler needs it; what is made of no code is a word, and no code
  return code !== undefined && staleCode.test(code);
}

/** How often statements may be found gone before something between is taken to be the reason. */
const mostLost = 3;

/** Who hears of statements that were refused before they ran. */
export interface StatementListeners {
  /** One is prepared anew, because the server refused it with this code. */
  readonly onRenewed: (code: string | undefined) => void;
  /** Statements do not stay where they were prepared, so that none is prepared any more. Called once. */
  readonly onLost: () => void;
}

/** What all connections of a pool have in common. */
export class StatementWatch {
  /** Statements that one connection keeps. */
  readonly size: number;
  readonly #listeners: StatementListeners;
  #lost = 0;

  constructor(size: number, listeners: StatementListeners) {
    this.size = size;
    this.#listeners = listeners;
  }

  /** Whether anything is prepared at all. */
  get on(): boolean {
    return this.size > 0 && this.#lost < mostLost;
  }

  /** A connection's statement was refused with this code before it ran. */
  refused(code: string | undefined): void {
    this.#listeners.onRenewed(code);
    if (code !== '26000') return;
    this.#lost += 1;
    if (this.#lost === mostLost) this.#listeners.onLost();
  }
}

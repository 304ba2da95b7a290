// The places that connections of one process may take. Each has a name, and whoever holds the name has the place
// (`docs/decisions/0007-maxperenvironment-is-kept-by-the-kernel.md` says why names).

import { type Callers, type HeldName, holdName, Line } from './kernel-name.ts';
import { endOf, pause } from './turn.ts';

/** How long somebody who waits asks for what others have idle, before it asks for what they are using. */
const sliceMillis = 25;
/** A thread that does not answer for so long is at work, and the next one is asked. */
const patienceMillis = 25;
/** How long a place may take that is about to be free: a proof of life, and a goodbye to the server. */
const soonMillis = 500;
/** A thread that has died lets go of its names and its connections one after the other, within microseconds. */
const deathMillis = 5;
/** Each line takes two file descriptors, of which Lambda gives a process 1024 (AWS Lambda quotas). */
const mostLines = 64;

/**
 * What is asked of others: what they have idle; or also what they get back next, although they have use for it, if their
 * share is the larger one.
 */
export type Question = { readonly only: 'idle' } | { readonly held: number };

/** How a question travels: 0, or by how many places its caller has, from 1. */
const mostHeld = 254;
const encode = (question: Question): number => ('held' in question ? 1 + Math.min(question.held, mostHeld) : 0);
export const decode = (byte: number): Question => (byte === 0 ? { only: 'idle' } : { held: byte - 1 });

/** Says whether a place that was had just now is still wanted, and counts it as taken if it is. */
type Claim = () => boolean;

/** The places that this thread has, and the way to more. One at a time looks for some: whoever has the turn. */
export class EnvironmentSlots {
  readonly #prefix: string;
  readonly #limit: number;
  readonly #callers: Callers;
  readonly #held = new Map<number, HeldName>();

  constructor(prefix: string, limit: number, callers: Callers) {
    this.#prefix = prefix;
    this.#limit = limit;
    this.#callers = callers;
  }

  /** How many this thread has. */
  get held(): number {
    return this.#held.size;
  }

  /** Whether somebody waits for one of these. */
  get called(): boolean {
    return [...this.#held.values()].some(({ callers }) => callers > 0);
  }

  /** @returns `false` when that was done before */
  giveBack(slot: number): boolean {
    this.#held.get(slot)?.release();
    return this.#held.delete(slot);
  }

  /** Takes a place, if there is one. */
  firstFree(signal: AbortSignal): Promise<number | undefined> {
    return this.#firstOf(fromAnywhere(this.#limit), () => !signal.aborted);
  }

  /** Waits until a place is free and takes it, and sees to it that one will be. */
  async anyFreed(signal: AbortSignal): Promise<number> {
    const slots = fromAnywhere(this.#limit);
    const lines = new Map<number, Line>();
    const found = new AbortController();
    const over = AbortSignal.any([signal, found.signal]);
    // In the turn in which the name is had: two may be let go of at once.
    const claim = (): boolean => {
      if (over.aborted) return false;
      found.abort();
      return true;
    };
    try {
      const watched = slots.slice(0, mostLines);
      const freed = watched.map((slot) => this.#freed(slot, lines, over, claim));
      return await Promise.any([...freed, this.#asking(slots.slice(mostLines), lines, over, claim)]);
    } catch (error) {
      signal.throwIfAborted();
      throw error instanceof AggregateError ? error.errors[0] : error;
    } finally {
      found.abort();
    }
  }

  async #firstOf(slots: readonly number[], claim: Claim): Promise<number | undefined> {
    for (const slot of slots) if (await this.#hold(slot, claim)) return slot;
    return undefined;
  }

  async #freed(slot: number, lines: Map<number, Line>, over: AbortSignal, claim: Claim): Promise<number> {
    for (;;) {
      const line = new Line(this.#name(slot));
      lines.set(slot, line);
      await endOf(line, over);
      if (line.place === undefined) await pause(deathMillis, over);
      over.throwIfAborted();
      if (await this.#hold(slot, claim)) return slot;
    }
  }

  /**
   * Asks the others, one after the other, for what they have idle; then, one more in each slice, for what they get back
   * next. Looks meanwhile after the places to which there is no line.
   */
  async #asking(
    unwatched: readonly number[],
    lines: ReadonlyMap<number, Line>,
    over: AbortSignal,
    claim: Claim,
  ): Promise<number> {
    const others = [...lines.keys()].filter((slot) => !this.#held.has(slot));
    for (const slot of others) await this.#ask(lines.get(slot), { only: 'idle' }, over);
    for (let round = 0; ; round += 1) {
      await pause(sliceMillis, over);
      over.throwIfAborted();
      const slot = await this.#firstOf(unwatched, claim);
      if (slot !== undefined) return slot;
      await this.#ask(lines.get(others[round % others.length] ?? -1), { held: this.held }, over);
    }
  }

  /** Nobody else is asked while one is about to let go. */
  async #ask(line: Line | undefined, question: Question, over: AbortSignal): Promise<void> {
    over.throwIfAborted();
    if ((await line?.ask(encode(question), patienceMillis)) === 'soon') await pause(soonMillis, over);
  }

  async #hold(slot: number, claim: Claim): Promise<boolean> {
    if (this.#held.has(slot)) return false;
    const name = await holdName(this.#name(slot), this.#callers);
    if (name === undefined) return false;
    const wanted = claim();
    if (wanted) this.#held.set(slot, name);
    else name.release();
    return wanted;
  }

  #name(slot: number): string {
    return `${this.#prefix}/${slot}`;
  }
}

/** In any order: where all begin at the first one, most tries would fail. */
function fromAnywhere(count: number): number[] {
  const first = Math.floor(Math.random() * count);
  return Array.from({ length: count }, (_, index) => (first + index) % count);
}

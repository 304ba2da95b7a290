// Which of several places to connect to: the first that answers. A place that does not answer is left alone for a while, so
// that not every connection has to wait for it: a circuit breaker for each. Pure, save for what it remembers.

/** How long a place that did not answer is left alone, at first; twice as long each time, up to the longest. */
const firstPauseMillis = 5000;
const longestPauseMillis = 60_000;

interface Breaker {
  /** Wall clock from when on it is tried again; nothing while it answers. */
  until: number | undefined;
  /** Wall clock at which it did not answer. */
  since: number;
  pauseMillis: number;
  /** Somebody is finding out whether it answers again. */
  probing: boolean;
}

/** One choice of a place, to be told how it came out. */
export interface Choice {
  /** Of the place, counted from 0, the one that is wanted most. */
  readonly index: number;
  /** Whether there is another place to go to if this one does not answer. */
  readonly last: boolean;
  /** It answered. @returns whether it had not before, so that what was made elsewhere can be given up */
  answered(): boolean;
  /** It did not answer. */
  silent(): void;
  /** Nothing was found out. Does nothing after one of the others. */
  settled(): void;
}

/** Remembers which of several places answer. */
export class Ways {
  readonly #breakers: Breaker[] = [];
  readonly #now: () => number;

  /** @param now - the wall clock, milliseconds, which is right after a freeze */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Chooses the first of `count` places that is not left alone, and none of those that were tried already; the last one
   * is never left alone.
   */
  choose(count: number, tried: ReadonlySet<number>): Choice {
    for (let index = 0; index < count - 1; index += 1) {
      if (tried.has(index)) continue;
      const breaker = this.#breakerOf(index);
      if (breaker.until === undefined) return this.#choice(index, false);
      if (breaker.probing || !this.#isOver(breaker)) continue;
      breaker.probing = true;
      return this.#choice(index, false);
    }
    return this.#choice(count - 1, true);
  }

  /** Tells whether a place that is wanted more than this one answers by now, or is due to be asked. */
  isDueBefore(index: number): boolean {
    return this.#breakers.slice(0, index).some((one) => !one.probing && this.#isOver(one));
  }

  /**
   * Whether a pause is over: always, for a place that answers. A clock that was set back says nothing about the time that
   * has passed: better ask once too often.
   */
  #isOver({ since, until = 0 }: Breaker): boolean {
    const now = this.#now();
    return now >= until || now < since;
  }

  #choice(index: number, last: boolean): Choice {
    const breaker = this.#breakerOf(index);
    let open = true;
    const settled = (): boolean => {
      const first = open;
      open = false;
      if (first) breaker.probing = false;
      return first;
    };
    return {
      index,
      last,
      settled: () => void settled(),
      answered: () => {
        settled();
        const wasSilent = breaker.until !== undefined;
        breaker.until = undefined;
        breaker.pauseMillis = firstPauseMillis;
        return wasSilent;
      },
      silent: () => {
        if (!settled() || last) return;
        // Found out by several at once: that is one time.
        if (!this.#isOver(breaker)) return;
        const since = this.#now();
        Object.assign(breaker, { since, until: since + breaker.pauseMillis });
        breaker.pauseMillis = Math.min(longestPauseMillis, breaker.pauseMillis * 2);
      },
    };
  }

  #breakerOf(index: number): Breaker {
    const breaker = this.#breakers[index] ?? {
      until: undefined,
      since: 0,
      pauseMillis: firstPauseMillis,
      probing: false,
    };
    this.#breakers[index] = breaker;
    return breaker;
  }
}

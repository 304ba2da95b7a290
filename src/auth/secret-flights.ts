/** Shares one call among all who want its answer, as long as it is new enough for them. It knows nothing of what is called. */

/** What a call has returned, and when: a turn, which only grows. */
export interface Flown<V> {
  readonly value: V;
  readonly answered: number;
}

interface Flight<V> {
  readonly began: number;
  readonly result: Promise<Flown<V>>;
  /** It is over, well or badly. */
  readonly over: Promise<void>;
}

/** Makes one call at a time. */
export class Flights<V> {
  readonly #make: () => Promise<V>;
  readonly #turn: () => number;
  #running: Flight<V> | undefined;

  constructor(make: () => Promise<V>, turn: () => number) {
    this.#make = make;
    this.#turn = turn;
  }

  /**
   * Returns the answer of a call that began after a turn: the one that is running if it did, else the one after it, which
   * all who wait for that share.
   */
  after(turn: number): Promise<Flown<V>> {
    const running = this.#running;
    if (!running) return this.#start();
    if (running.began > turn) return running.result;
    // The first of those who wait begins the next one, and the others find it running.
    return running.over.then(() => this.after(turn));
  }

  #start(): Promise<Flown<V>> {
    const began = this.#turn();
    const result = this.#make().then((value) => ({ value, answered: this.#turn() }));
    const over = (): void => {
      this.#running = undefined;
    };
    this.#running = { began, result, over: result.then(over, over) };
    return result;
  }
}

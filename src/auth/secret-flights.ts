/** Shares one call among all who want its answer, as long as it is new enough for them. It knows nothing of what is called. */

/** What a call has returned, and when it began: a turn, which only grows. */
export interface Flown<V> {
  readonly value: V;
  readonly began: number;
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
  #next: Promise<Flown<V>> | undefined;

  constructor(make: () => Promise<V>, turn: () => number) {
    this.#make = make;
    this.#turn = turn;
  }

  /**
   * Returns the answer of a call that began after a turn: the one that is running if it did, else the one after it, which
   * all who come meanwhile share.
   */
  after(turn: number): Promise<Flown<V>> {
    const running = this.#running;
    if (!running) return this.#start().result;
    if (running.began > turn) return running.result;
    this.#next ??= running.over.then(() => {
      this.#next = undefined;
      // Somebody may have come between the end of that one and now.
      return (this.#running ?? this.#start()).result;
    });
    return this.#next;
  }

  #start(): Flight<V> {
    const began = this.#turn();
    const result = this.#make().then((value) => ({ value, began }));
    const over = (): void => {
      this.#running = undefined;
    };
    const flight = { began, result, over: result.then(over, over) };
    this.#running = flight;
    return flight;
  }
}

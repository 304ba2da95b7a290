/** The least that can make callers wait for their turn: an array of what is idle, and a queue of resolvers. */
export class PromiseQueue<T> {
  readonly #idle: T[];
  #waiting: ((resource: T) => void)[] = [];
  #head = 0;

  constructor(idle: T[]) {
    this.#idle = idle;
  }

  acquire(): Promise<T> {
    const resource = this.#idle.pop();
    if (resource !== undefined) return Promise.resolve(resource);
    return new Promise((resolve) => void this.#waiting.push(resolve));
  }

  release(resource: T): void {
    const next = this.#waiting[this.#head];
    if (next === undefined) {
      this.#idle.push(resource);
      return;
    }
    this.#head += 1;
    if (this.#head === this.#waiting.length) {
      this.#waiting = [];
      this.#head = 0;
    }
    next(resource);
  }
}

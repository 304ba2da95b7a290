import type { Clock, Instant } from './clock.ts';

/** Somebody who waits for a resource. Settled exactly once: whoever takes it out of the queue settles it. */
export interface Waiter<L> {
  readonly since: Instant;
  readonly owner: object | undefined;
  readonly origin: unknown;
  resolve(lease: L): void;
  reject(error: unknown): void;
  /** Stops what would end the wait early: its timer and its abort listener. */
  disarm(): void;
}

interface Node<L> {
  readonly waiter: Waiter<L>;
  previous: Node<L> | undefined;
  next: Node<L> | undefined;
  queued: boolean;
}

/** A handle that takes its waiter out of the queue. */
export type QueuedWaiter<L> = { readonly waiter: Waiter<L> };

/** First come, first served; every operation takes the same time however many wait. */
export class WaiterQueue<L> {
  #head: Node<L> | undefined;
  #tail: Node<L> | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(waiter: Waiter<L>): QueuedWaiter<L> {
    const node: Node<L> = { waiter, previous: this.#tail, next: undefined, queued: true };
    if (this.#tail) this.#tail.next = node;
    else this.#head = node;
    this.#tail = node;
    this.#size += 1;
    return node;
  }

  /** Takes out the one that has waited longest. */
  shift(): Waiter<L> | undefined {
    const node = this.#head;
    if (node === undefined) return undefined;
    this.#unlink(node);
    return node.waiter;
  }

  /** Takes this one out. `false` when it had left the queue already: somebody else settles it then. */
  remove(queued: QueuedWaiter<L>): boolean {
    const node = queued as Node<L>;
    if (!node.queued) return false;
    this.#unlink(node);
    return true;
  }

  /** Takes out all that belong to one owner, longest wait first. */
  removeOwnedBy(owner: object): Waiter<L>[] {
    const removed: Waiter<L>[] = [];
    for (let node = this.#head; node; node = node.next) {
      if (node.waiter.owner !== owner) continue;
      this.#unlink(node);
      removed.push(node.waiter);
    }
    return removed;
  }

  #unlink(node: Node<L>): void {
    if (node.previous) node.previous.next = node.next;
    else this.#head = node.next;
    if (node.next) node.next.previous = node.previous;
    else this.#tail = node.previous;
    node.queued = false;
    this.#size -= 1;
  }
}

/** How a wait begins, and what is to happen when it ends early. */
export interface WaitOptions<L> {
  readonly since: Instant;
  readonly budgetMillis: number;
  readonly owner: object | undefined;
  readonly origin: unknown;
  readonly signal: AbortSignal | undefined;
  resolve(lease: L): void;
  reject(error: unknown): void;
  /** Called with the waiter out of the queue, and nobody else to settle it. */
  timedOut(waiter: Waiter<L>): void;
  aborted(waiter: Waiter<L>, reason: unknown): void;
}

/** Queues a waiter that its timer and its signal take out again. */
export function startWait<L>(clock: Clock, queue: WaiterQueue<L>, options: WaitOptions<L>): void {
  const { since, owner, origin, signal, resolve, reject } = options;
  const onTimeout = (): void => void (queue.remove(queued) && options.timedOut(waiter));
  // Stryker disable next-line OptionalChaining: for the compiler only; without a signal nothing calls it
  const onAbort = (): void => void (queue.remove(queued) && options.aborted(waiter, signal?.reason));
  // Looked at after one more turn: what lies in the kernel already is no timeout.
  const timer = clock.setTimer(() => clock.afterTurn(onTimeout), options.budgetMillis);
  signal?.addEventListener('abort', onAbort, { once: true });
  const waiter: Waiter<L> = {
    since,
    owner,
    origin,
    resolve,
    reject,
    disarm: () => {
      clock.clearTimer(timer);
      signal?.removeEventListener('abort', onAbort);
    },
  };
  const queued = queue.push(waiter);
}
